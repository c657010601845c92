"""Tokens of pairs, on small tokenisers of the kinds that models have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from ebmlm.data import Pair, PairTokeniser, PairTokens
from ebmlm.errors import UserError
from tests.data.tokenisers import CHATML, END, KINDS, PLAIN_TURNS, START, byte_level, words

TEXTS = st.text(alphabet="abc12 .\né語", max_size=10)
COMPLETIONS = TEXTS.filter(lambda text: bool(text.strip()))


def user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def assistant(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]


def tokens_of(tokenizer: PreTrainedTokenizerFast, prompt: Any, completion: Any) -> PairTokens:
    (tokens,) = PairTokeniser(tokenizer)([Pair("key", prompt, completion)])
    assert tokens is not None
    return tokens


def plain(tokenizer: PreTrainedTokenizerFast, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def decoded(tokenizer: PreTrainedTokenizerFast, tokens: list[int]) -> str:
    return str(tokenizer.decode(tokens, skip_special_tokens=True))


def spelt(tokenizer: PreTrainedTokenizerFast, tokens: Sequence[int]) -> list[str]:
    return cast(list[str], tokenizer.convert_ids_to_tokens(list(tokens)))


@pytest.mark.parametrize("kind", KINDS)
@given(TEXTS, COMPLETIONS)
@example("ab ", "ab")
@example("a", "b")
@example("", " ab")
@example("1", "2 ")
@example("a\n", "\nb")
def test_tokens_are_the_texts(kind: str, prompt: str, completion: str) -> None:
    tokenizer = KINDS[kind]
    tokens = tokens_of(tokenizer, prompt, completion)
    # The prompt is what a model that is asked reads.
    assert tokens.prompt == plain(tokenizer, prompt)
    assert (tokens.prompt_text, tokens.completion_text) == (prompt, completion)
    # Nothing is put between or left out.
    both = [*tokens.start, *tokens.prompt, *tokens.completion]
    whole = plain(tokenizer, prompt + completion)
    assert decoded(tokenizer, both) == decoded(tokenizer, whole)
    together = whole[: len(tokens.prompt)] == tokens.prompt
    assert tokens.straddled is not together
    if together:
        assert [*tokens.prompt, *tokens.completion][: len(whole)] == whole
    # One start, one end.
    assert both.count(START) == len(tokens.start) <= 1
    ends = both.count(END)
    assert ends == (tokenizer.eos_token_id is not None)
    assert not ends or tokens.completion[-1] == END
    if kind.startswith("metaspace"):
        # A space where a text begins is the one thing such a tokeniser loses.
        assert tokens.altered is (not prompt and completion.startswith(" "))
    else:
        assert not tokens.altered
        assert decoded(tokenizer, both) == prompt + completion


ANYTHING = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@given(ANYTHING, ANYTHING.filter(bool))
def test_bytes_spell_any_text(prompt: str, completion: str) -> None:
    tokenizer = KINDS["byte-level with start"]
    tokens = tokens_of(tokenizer, prompt, completion)
    assert not tokens.altered
    assert decoded(tokenizer, [*tokens.prompt, *tokens.completion]) == prompt + completion


def test_start_is_found_where_the_probe_has_no_token() -> None:
    tokenizer = words(start=True, known=("b",), unk=False, bos_token="<s>")
    assert plain(tokenizer, "a") == []
    assert tokens_of(tokenizer, "b", " b").start == [START]


def test_a_space_is_not_lost_or_put_in_between() -> None:
    tokenizer = byte_level(eos_token="</s>")
    joined = tokens_of(tokenizer, "ab", " ab")
    assert spelt(tokenizer, joined.completion) == ["Ġab", "</s>"]
    assert not joined.straddled
    apart = tokens_of(tokenizer, "ab ", "ab")
    assert spelt(tokenizer, apart.prompt) == ["ab", "Ġ"]
    assert spelt(tokenizer, apart.completion) == ["ab", "</s>"]
    assert apart.straddled


@pytest.mark.parametrize("kind", ["metaspace", "metaspace without start"])
def test_a_tokeniser_that_puts_spaces_before_texts_puts_none_in_between(kind: str) -> None:
    tokenizer = KINDS[kind]
    apart = tokens_of(tokenizer, "ab ", "ab")
    assert apart.straddled and not apart.altered
    assert spelt(tokenizer, apart.completion) == ["ab", "</s>"]


@pytest.mark.parametrize(
    ("kind", "start", "empty"),
    [
        ("byte-level", [], []),
        ("byte-level with start", [START], [START]),
        ("byte-level, start unused", [], [START]),
        ("metaspace", [START], [START]),
    ],
)
def test_start_is_the_tokenisers_own_and_an_empty_prompt_gets_one(
    kind: str, start: list[int], empty: list[int]
) -> None:
    assert tokens_of(KINDS[kind], "a", "b").start == start
    alone = tokens_of(KINDS[kind], "", "b")
    assert (alone.start, alone.prompt) == (empty, [])


def test_special_tokens_in_the_text_are_not_doubled() -> None:
    tokenizer = KINDS["byte-level with start"]
    tokens = tokens_of(tokenizer, "<s>a", " b</s>")
    assert tokens.start == [START]
    assert tokens.prompt == plain(tokenizer, "a")
    assert tokens.completion == [*plain(tokenizer, " b"), END]
    assert (tokens.prompt_text, tokens.completion_text) == ("a", " b")
    assert not tokens.altered


def test_end_is_learned_also_where_it_pads() -> None:
    assert KINDS["padding is the end"].pad_token_id == END
    assert tokens_of(KINDS["padding is the end"], "a", " b").completion[-1] == END
    endless = tokens_of(KINDS["endless"], "a", " b")
    assert endless.completion == plain(KINDS["endless"], " b")


def test_text_that_the_tokeniser_cannot_give_back_is_told() -> None:
    tokenizer = words(eos_token="</s>")
    assert not tokens_of(tokenizer, "", "yes").altered
    assert tokens_of(tokenizer, "a", " other").altered
    assert tokens_of(tokenizer, "a", " other").completion_text == " other"


def test_pair_without_a_boundary_or_a_token_has_no_tokens() -> None:
    # "ab" is one unknown word, which "a b" does not read as; and white space has no token.
    tokenise = PairTokeniser(words(eos_token="</s>"))
    assert tokenise([Pair("key", "a", "b"), Pair("key", "a", " \n")]) == [None, None]


def test_conversation_is_written_by_the_template() -> None:
    tokenizer = byte_level(bos_token="<s>", eos_token="<|stop|>", chat_template=CHATML)
    tokens = tokens_of(tokenizer, user("ab"), assistant("bc\n"))
    assert tokens.prompt_text == "<|turn|>user\nab<|stop|>\n<|turn|>assistant\n"
    assert (tokens.start, tokens.prompt) == ([], plain(tokenizer, tokens.prompt_text))
    # The turn's own end is the end: no second one, and not the line end after it.
    assert tokens.completion == plain(tokenizer, "bc\n<|stop|>")
    assert tokens.completion_text == "bc\n"


def test_templates_end_stays_where_the_tokeniser_ends_texts_otherwise() -> None:
    tokenizer = byte_level(eos_token="</s>", chat_template=CHATML)
    assert tokens_of(tokenizer, user("a"), assistant("b")).completion == plain(
        tokenizer, "b<|stop|>"
    )


def test_template_with_start_and_without_end() -> None:
    tokenizer = byte_level(start=True, bos_token="<s>", eos_token="</s>", chat_template=PLAIN_TURNS)
    tokens = tokens_of(tokenizer, user("a"), assistant("b"))
    assert tokens.start == [START]
    assert tokens.prompt == plain(tokenizer, "user: a\nassistant: ")
    assert tokens.prompt_text == "user: a\nassistant: "
    assert tokens.completion == [*plain(tokenizer, "b\n"), END]
    assert tokens.completion_text == "b\n"


def test_template_without_start_gets_none() -> None:
    tokenizer = byte_level(start=True, bos_token="<s>", eos_token="</s>", chat_template=CHATML)
    assert tokens_of(tokenizer, user("a"), assistant("b")).start == []


@given(TEXTS, COMPLETIONS)
def test_conversations_read_as_the_template_writes_them(question: str, answer: str) -> None:
    tokenizer = byte_level(bos_token="<s>", eos_token="<|stop|>", chat_template=CHATML)
    assume(not answer.endswith("\n"))
    tokens = tokens_of(tokenizer, user(question), assistant(answer))
    assert tokens.completion_text == answer
    written = str(tokenizer.decode([*tokens.prompt, *tokens.completion]))
    turns = [*user(question), *assistant(answer)]
    assert written + "\n" == tokenizer.apply_chat_template(turns, tokenize=False)


def test_conversation_without_a_template_is_refused() -> None:
    with pytest.raises(UserError, match=r"no chat template .* instruction-tuned model"):
        tokens_of(KINDS["byte-level"], user("a"), assistant("b"))


def test_template_that_rewrites_the_prompt_is_refused() -> None:
    template = "{% for m in messages %}{{ messages | length }}{{ m['content'] }}{% endfor %}"
    tokenizer = byte_level(eos_token="</s>", chat_template=template)
    with pytest.raises(UserError, match=r"pair 'key': .* \('1a' becomes '2a2b'\)"):
        tokens_of(tokenizer, user("a"), assistant("b"))


def test_conversation_that_the_template_refuses_is_named() -> None:
    template = "{{ raise_exception('roles must alternate') }}"
    tokenizer = byte_level(eos_token="</s>", chat_template=template)
    with pytest.raises(UserError, match=r"pair 'key': .* refuses .*: roles must alternate"):
        tokens_of(tokenizer, user("a"), assistant("b"))


def test_text_beside_messages_is_refused() -> None:
    with pytest.raises(UserError, match="'key' mixes a text and messages"):
        tokens_of(byte_level(chat_template=CHATML), "a", assistant("b"))
