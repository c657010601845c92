"""A pair as text: what the model reads, and what it is to write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING

from ebmlm.data.pair import Pair, Turn
from ebmlm.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["PairText", "check_chat_template", "pair_text"]

_SHOWN = 30


@dataclass(frozen=True)
class PairText:
    """A pair as text.

    Attributes:
        prompt: what the model reads first; of a conversation, up to where the answer begins.
        completion: what follows, to the end.
        templated: whether a chat template wrote it, special tokens included.
    """

    prompt: str
    completion: str
    templated: bool = False


def check_chat_template(tokenizer: PreTrainedTokenizerBase) -> None:
    """Refuse a tokeniser that cannot write conversations.

    Raises:
        UserError: if it has no chat template.
    """
    if not getattr(tokenizer, "chat_template", None):
        raise UserError(
            "the data is conversations, and the model's tokeniser has no chat template to write"
            " them with: use an instruction-tuned model, add a chat_template to the tokeniser, or"
            " give prompt and completion as plain texts"
        )


def pair_text(pair: Pair, tokenizer: PreTrainedTokenizerBase) -> PairText:
    """Return a pair as text: as it is, or as the model's chat template writes it.

    Of a conversation the prompt is rendered with the beginning of an answer, and the completion
    is what the whole conversation has after that.

    Raises:
        UserError: if there is no chat template, it refuses the conversation, or it writes the
            prompt otherwise once the answer is there.
    """
    if isinstance(pair.prompt, str) and isinstance(pair.completion, str):
        return PairText(pair.prompt, pair.completion)
    if isinstance(pair.prompt, str) or isinstance(pair.completion, str):
        raise UserError(
            f"pair {pair.key!r} mixes a text and messages: prompt and completion must both be"
            " texts, or both lists of messages"
        )
    check_chat_template(tokenizer)
    prompt = _rendered(tokenizer, pair, pair.prompt, answer=True)
    whole = _rendered(tokenizer, pair, [*pair.prompt, *pair.completion], answer=False)
    if not whole.startswith(prompt):
        pairs = zip(prompt, whole, strict=False)
        same = sum(1 for _ in takewhile(lambda letters: letters[0] == letters[1], pairs))
        raise UserError(
            f"pair {pair.key!r}: the chat template writes the prompt otherwise once the answer is"
            f" there ({prompt[same : same + _SHOWN]!r} becomes {whole[same : same + _SHOWN]!r}),"
            " so that no token boundary lies between them; use a template that keeps the prompt,"
            " or give prompt and completion as plain texts"
        )
    return PairText(prompt, whole[len(prompt) :], templated=True)


def _rendered(
    tokenizer: PreTrainedTokenizerBase, pair: Pair, turns: Sequence[Turn], *, answer: bool
) -> str:
    from jinja2 import TemplateError

    try:
        return str(
            tokenizer.apply_chat_template(
                [dict(turn) for turn in turns], tokenize=False, add_generation_prompt=answer
            )
        )
    except TemplateError as error:
        raise UserError(
            f"pair {pair.key!r}: the model's chat template refuses the conversation: {error}; mend"
            " the messages, or use another model or template"
        ) from error
