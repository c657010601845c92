"""Training pairs that are nearly the same as one that is held out."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from ebmlm.data.pair import Pair
from ebmlm.errors import UserError

__all__ = ["NearCopies", "Overlap"]

_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Overlap:
    """Which pairs have a near-copy on the other side.

    Attributes:
        train: the places of training pairs with a near-copy among those held out, in order.
        held_out: the places of held-out pairs with a near-copy in training, in order.
    """

    train: Sequence[int]
    held_out: Sequence[int]


@dataclass(frozen=True)
class NearCopies:
    """Pairs whose word trigrams overlap: Jaccard similarity of ``threshold`` or more.

    The similarity of two pairs is the number of different word trigrams that both have, over the
    number that either has. Words are runs of letters and digits, in small letters; of a text with
    fewer than three words, all of them are its one trigram. The search is exact: candidates share
    one of their rarest trigrams, as every similar pair must (prefix filtering; Chaudhuri, Ganti
    and Kaushik, ICDE 2006; Bayardo, Ma and Srikant, WWW 2007).

    Attributes:
        threshold: the similarity from which two pairs are near-copies, above 0 and at most 1.
        prompts: compare prompts alone, not prompt and completion; a pair without a prompt is still
            compared by its completion.

    Raises:
        UserError: when built, if the threshold is out of range.
    """

    threshold: float = 0.5
    prompts: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= 1:
            raise UserError(
                f"threshold is {self.threshold}; a similarity must be above 0 and at most 1, such"
                " as 0.5"
            )

    def __call__(self, train: Sequence[Pair], held_out: Sequence[Pair]) -> Overlap:
        """Return which pairs of either side have a near-copy on the other."""
        sides = [[_trigrams(self._text(pair)) for pair in side] for side in (train, held_out)]
        counts = Counter(trigram for side in sides for each in side for trigram in each)
        rank = {
            trigram: place
            for place, (trigram, _) in enumerate(
                sorted(counts.items(), key=lambda entry: (entry[1], entry[0]))
            )
        }
        left, right = ([frozenset(map(rank.__getitem__, each)) for each in side] for side in sides)
        index: defaultdict[int, list[int]] = defaultdict(list)
        for place, trigrams in enumerate(right):
            for trigram in self._rarest(trigrams):
                index[trigram].append(place)
        copied: set[int] = set()
        copies = []
        for place, trigrams in enumerate(left):
            candidates = {
                other for trigram in self._rarest(trigrams) for other in index.get(trigram, ())
            }
            similar = {other for other in candidates if self._similar(trigrams, right[other])}
            copied |= similar
            if similar:
                copies.append(place)
        return Overlap(copies, sorted(copied))

    def _rarest(self, trigrams: frozenset[int]) -> list[int]:
        # Of two sets as similar as that, at least the share ``threshold`` of each is in both; were
        # none of a set's other members in both, too few would be left.
        common = math.ceil(self.threshold * len(trigrams) - 1e-9)
        return sorted(trigrams)[: len(trigrams) - common + 1]

    def _similar(self, left: frozenset[int], right: frozenset[int]) -> bool:
        smaller, larger = sorted((len(left), len(right)))
        if smaller < self.threshold * larger - 1e-9:
            return False
        common = len(left & right)
        return common >= self.threshold * (len(left) + len(right) - common) - 1e-9

    def _text(self, pair: Pair) -> str:
        prompt = _flat(pair.prompt)
        if self.prompts and prompt.strip():
            return prompt
        return f"{prompt} {_flat(pair.completion)}"


def _trigrams(text: str) -> frozenset[tuple[str, ...]]:
    small = text.casefold()
    words = _WORD.findall(small) or small.split()
    if len(words) < 3:
        return frozenset([tuple(words)])
    return frozenset(zip(words, words[1:], words[2:], strict=False))


def _flat(side: object) -> str:
    if isinstance(side, str):
        return side
    assert isinstance(side, Sequence)
    return " ".join(turn["content"] for turn in side)
