"""Counts of n-grams, hashed with signs into a fixed number of features."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ebmlm.errors import UserError
from ebmlm.features.base import FeatureMap, Features
from ebmlm.features.function import FunctionFeatures
from ebmlm.features.reading import Reading, TokenReading
from ebmlm.rollouts import Rollouts
from ebmlm.typing import RowFeature

__all__ = ["NGramFeatures", "hashed_ngrams"]

_MODULUS = (1 << 61) - 1


class NGramFeatures(FeatureMap):
    """How often each n-gram stands in a continuation, in ``width`` features.

    Each n-gram is hashed to a feature and a sign (Weinberger et al. 2009), so that inner products
    are unbiased estimates, over hashes, of those of the full counts: of the n-gram spectrum kernel
    (docs/mathematics.md, eq. 17). The hash is fixed by ``seed``, the same on every machine.

    Args:
        orders: lengths of n-grams that are counted.
        width: features.
        reading: what n-grams are of: token ids by default; of a
            :class:`~ebmlm.features.reading.TextReading`, characters.
        normalised: whether a vector's length is one, instead of growing with its n-grams.
        seed: of the hash.

    Raises:
        UserError: for no order, an order or width under 1.
    """

    def __init__(
        self,
        orders: Sequence[int] = (1, 2, 3),
        width: int = 1024,
        reading: Reading | None = None,
        normalised: bool = True,
        seed: int = 0,
    ) -> None:
        if not orders or min(orders) < 1:
            raise UserError(f"orders is {list(orders)}: name lengths of n-grams, each at least 1")
        self.orders = tuple(orders)
        self.normalised = normalised
        self.seed = seed
        self._features = FunctionFeatures(
            self._counted, width, TokenReading() if reading is None else reading
        )

    @property
    def blocks(self) -> tuple[int, ...] | None:
        """One."""
        return self._features.blocks

    def __call__(self, rollouts: Rollouts) -> Features:
        """See :meth:`FeatureMap.__call__`."""
        return self._features(rollouts)

    def _counted(self, readings: Sequence[Sequence[int] | str]) -> RowFeature:
        assert self._features.width is not None
        vectors = hashed_ngrams(readings, self.orders, self._features.width, self.seed)
        if self.normalised:
            vectors = vectors / vectors.norm(dim=-1, keepdim=True).clamp(min=1e-30)
        return vectors


def hashed_ngrams(
    readings: Sequence[Sequence[int] | str], orders: Sequence[int], width: int, seed: int = 0
) -> RowFeature:
    """Signed counts (row, feature) of the n-grams of each reading: token ids or text."""
    counts = torch.zeros(len(readings), width)
    for row, reading in enumerate(readings):
        items = [ord(one) if isinstance(one, str) else int(one) for one in reading]
        for order in orders:
            for start in range(len(items) - order + 1):
                value = _hash(items[start : start + order], seed)
                counts[row, (value >> 1) % width] += 1 - 2 * (value & 1)
    return counts


def _hash(items: Sequence[int], seed: int) -> int:
    """A number of 61 bits: a polynomial of the items at a place that the seed chooses, mixed."""
    place = (seed * 0x9E3779B97F4A7C15 + 0x2545F4914F6CDD1D) % _MODULUS
    value = len(items)
    for item in items:
        value = (value * place + item + 1) % _MODULUS
    # A polynomial's low bits are those of its items; multiply and fold until they are not.
    value = (value ^ (value >> 31)) * 0xBF58476D1CE4E5B9 % _MODULUS
    value = (value ^ (value >> 29)) * 0x94D049BB133111EB % _MODULUS
    return value ^ (value >> 32)
