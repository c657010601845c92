"""Tokens of a prompt and its completion, and where the one ends and the other begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ebmlm.data.chat import PairText, pair_text
from ebmlm.data.pair import Pair
from ebmlm.texts import Texts

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["PairTokeniser", "PairTokens"]


@dataclass(frozen=True)
class PairTokens:
    """A pair as tokens, and as the texts that a verifier compares.

    Attributes:
        start: special tokens before the prompt, such as beginning-of-sequence.
        prompt: tokens of the prompt, exactly those it has when it is tokenised alone.
        completion: tokens to learn; the last one ends the sequence where the tokeniser can say so.
        prompt_text: the prompt as the model reads it, without ``start``.
        completion_text: the completion, without what ends it.
        straddled: whether the tokens of both texts together do not begin with the prompt's own.
        altered: whether the tokens do not decode to the completion's text after the prompt.
    """

    start: Sequence[int]
    prompt: Sequence[int]
    completion: Sequence[int]
    prompt_text: str
    completion_text: str
    straddled: bool = False
    altered: bool = False

    def __len__(self) -> int:
        return len(self.start) + len(self.prompt) + len(self.completion)


class PairTokeniser:
    """Turns pairs into tokens.

    **The boundary.** A model that is asked reads the prompt tokenised alone, so a pair's prompt
    always has those tokens. Prompt and completion are tokenised together as one text, without
    anything put between them; where that begins with the prompt's own tokens (nearly always) the
    rest is the completion. Where it does not, a token would reach over the boundary: a space at the
    prompt's end, digits or letters that go on. No model that is asked could write such a token. The
    completion is then tokenised on its own, and the pair counts as ``straddled``. A tokeniser that
    puts a space before every text is kept from it by a line end before the completion, whose
    tokens are taken off again.

    **The start.** What the tokeniser puts before a text of its own (beginning-of-sequence) stands
    there once, also where the text has it already. Text that a chat template wrote has what it
    needs. An empty prompt gets the beginning-of-sequence token if the tokeniser has one, put there
    of its own or not; without one, the completion's first token follows nothing and is not
    predicted.

    **The end.** The end-of-sequence token follows a completion and is learned, where the tokeniser
    has one and the text does not end with it. Where a chat template ends its text with a special
    token, that is the end, and white space behind it is dropped.

    Args:
        tokenizer: of the model.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.tokenizer = tokenizer
        self._texts = Texts(tokenizer, {})
        # A template's own marks need not have a role that the tokeniser knows.
        marks = (each for each, token in tokenizer.added_tokens_decoder.items() if token.special)
        self._special = frozenset([*tokenizer.all_special_ids, *marks])
        self._own_start = _own_start(tokenizer)
        self._line = self._ids(["\n"])[0]

    def __call__(self, pairs: Sequence[Pair]) -> list[PairTokens | None]:
        """Return the tokens of each pair, None where no boundary or no token can be found.

        Raises:
            UserError: for conversations that the chat template cannot write.
        """
        texts = [pair_text(pair, self.tokenizer) for pair in pairs]
        prompts = self._ids([text.prompt for text in texts])
        wholes = self._ids([text.prompt + text.completion for text in texts])
        return [self._tokens(*each) for each in zip(texts, prompts, wholes, strict=True)]

    def _tokens(self, text: PairText, prompt: list[int], whole: list[int]) -> PairTokens | None:
        straddled = whole[: len(prompt)] != prompt
        completion = self._apart(text, prompt, whole) if straddled else whole[len(prompt) :]
        if not completion:
            return None
        start, prompt = self._started(text, prompt)
        begun = [*start, *prompt]
        written = text.completion
        read = self._read(begun, completion)
        completion, ended = self._ended(text, completion)
        if text.templated:
            written = self._read(begun, completion)
        elif ended and not read.endswith(written):
            # The text brought its own end-of-sequence token.
            written = written.removesuffix(str(self.tokenizer.eos_token))
        return PairTokens(
            start=start,
            prompt=prompt,
            completion=completion,
            prompt_text=text.prompt.removeprefix(_joined(self.tokenizer, start)),
            completion_text=written,
            straddled=straddled,
            altered=not text.templated and read != written,
        )

    def _apart(self, text: PairText, prompt: list[int], whole: list[int]) -> list[int] | None:
        """Tokens of the completion alone that read as the whole does, None if there are none."""
        alone, behind = self._ids([text.completion, "\n" + text.completion])
        candidates = [alone]
        if behind[: len(self._line)] == self._line:
            candidates.append(behind[len(self._line) :])
        # Not the text itself: a tokeniser may read it otherwise, in small letters for example.
        target = self._decoded(whole)
        return next((each for each in candidates if self._decoded(prompt + each) == target), None)

    def _started(self, text: PairText, prompt: list[int]) -> tuple[list[int], list[int]]:
        """The special tokens before the prompt, and its others."""
        start = list(self._own_start)
        first = self.tokenizer.bos_token_id
        if not start and not prompt and first is not None:
            start = [first]
        if start and prompt[: len(start)] == start:
            return start, prompt[len(start) :]
        return ([] if text.templated else start), prompt

    def _ended(self, text: PairText, completion: list[int]) -> tuple[list[int], bool]:
        """The completion with its end, and whether the text itself had that."""
        end = self.tokenizer.eos_token_id
        if text.templated:
            last = len(completion)
            while last and not self._decoded(completion[last - 1 : last]).strip():
                last -= 1
            if last and completion[last - 1] in self._special:
                return completion[:last], True
        if end is None or completion[-1] == end:
            return completion, end is not None
        return [*completion, end], False

    def _ids(self, texts: list[str]) -> list[list[int]]:
        # verbose=False: no warning about texts longer than the model; they are cut later.
        encoded = self.tokenizer(
            texts, add_special_tokens=False, return_attention_mask=False, verbose=False
        )
        return [list(ids) for ids in encoded["input_ids"]]

    def _decoded(self, ids: list[int]) -> str:
        return str(self.tokenizer.decode(ids, clean_up_tokenization_spaces=False))

    def _read(self, prompt: list[int], completion: list[int]) -> str:
        import torch

        return self._texts.after(torch.tensor(prompt), torch.tensor(completion))


def _own_start(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The special tokens that a tokeniser puts before a text of its own."""
    plain = list(tokenizer("a", add_special_tokens=False)["input_ids"])
    dressed = list(tokenizer("a")["input_ids"])
    if not plain:
        return [token for token in dressed[:1] if token == tokenizer.bos_token_id]
    for place in range(len(dressed) - len(plain) + 1):
        if dressed[place : place + len(plain)] == plain:
            return dressed[:place]
    return []


def _joined(tokenizer: PreTrainedTokenizerBase, tokens: Sequence[int]) -> str:
    return "".join(map(str, tokenizer.convert_ids_to_tokens(list(tokens))))
