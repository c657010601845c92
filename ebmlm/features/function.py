"""Any callable of text or tokens as a feature map, in batches and remembering references."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence, Sized
from typing import Any

import torch
from torch import Tensor

from ebmlm.errors import UserError
from ebmlm.features.base import FeatureMap, Features
from ebmlm.features.reading import Reading, TokenReading
from ebmlm.rollouts import Rollouts
from ebmlm.typing import RowFeature

__all__ = ["FunctionFeatures"]


class FunctionFeatures(FeatureMap):
    """``function(readings) -> (row, feature)``, whatever the function is.

    Rollouts and references are read one by one (:class:`~ebmlm.features.reading.TokenReading`,
    :class:`~ebmlm.features.reading.TextReading`), each distinct reading is given to the function
    once, in batches, and the vectors of references are kept, since the same text comes back in
    every epoch and the same rollout does not.

    Args:
        function: takes a list of readings and returns a vector for each, which must depend on that
            reading alone.
        width: features that it returns, D.
        reading: what it is given; by default the continuation's token ids.
        batch_size: readings it is given at once.
        kept: references whose vectors are kept at most; those that were not used longest go first.

    Raises:
        UserError: for a width or batch size under 1, or a negative number to keep; when called, if
            the function returns another shape, or a value that is not finite.
    """

    def __init__(
        self,
        function: Callable[[Sequence[Any]], RowFeature],
        width: int,
        reading: Reading | None = None,
        batch_size: int = 64,
        kept: int = 50_000,
    ) -> None:
        for name, value, least in (
            ("width", width, 1),
            ("batch_size", batch_size, 1),
            ("kept", kept, 0),
        ):
            if value < least:
                raise UserError(f"{name} is {value}: it must be at least {least}")
        self.function = function
        self.reading = TokenReading() if reading is None else reading
        self.batch_size = batch_size
        self.kept = kept
        self._width = width
        self._references: OrderedDict[Hashable, Tensor] = OrderedDict()

    @property
    def blocks(self) -> tuple[int, ...] | None:
        """One."""
        return (self._width,)

    @torch.no_grad()
    def __call__(self, rollouts: Rollouts) -> Features:
        """See :meth:`FeatureMap.__call__`; float32 or wider."""
        sampled, real = _read(rollouts, self.reading)
        vectors = self._vectors([*sampled.values(), *real.values()])
        for one in real.values():
            self._keep(one, vectors[one])
        batch, anchor, sample, _ = rollouts.completions.shape
        dtype = next(iter(vectors.values())).dtype if vectors else torch.float32
        features = torch.zeros(batch, anchor, sample, self._width, dtype=dtype)
        references = torch.zeros(batch, anchor, self._width, dtype=dtype)
        for place, one in sampled.items():
            features[place] = vectors[one]
        for spot, one in real.items():
            references[spot] = vectors[one]
        device = rollouts.completions.device
        return Features(features.to(device), references.to(device), (self._width,))

    def _vectors(self, readings: Sequence[Hashable]) -> dict[Hashable, Tensor]:
        """The vector of each distinct reading."""
        distinct = dict.fromkeys(readings)
        found = {one: self._references[one] for one in distinct if one in self._references}
        # Of like length together, so that little of a batch is padding.
        new = sorted((one for one in distinct if one not in found), key=_length)
        for start in range(0, len(new), self.batch_size):
            some = new[start : start + self.batch_size]
            found.update(zip(some, self._applied(some), strict=True))
        return found

    def _applied(self, readings: list[Hashable]) -> Tensor:
        name = getattr(self.function, "__name__", type(self.function).__name__)
        vectors = torch.as_tensor(self.function(readings))
        expected = (len(readings), self._width)
        if tuple(vectors.shape) != expected:
            raise UserError(
                f"{name} returned shape {tuple(vectors.shape)} for {len(readings)} readings: it"
                f" must return one vector of {self._width} features for each, {expected}"
            )
        if not vectors.isfinite().all():
            row = int((~vectors.isfinite()).any(-1).nonzero()[0])
            raise UserError(f"{name} returned a value that is not finite for {readings[row]!r}")
        return vectors.detach().cpu().to(torch.promote_types(vectors.dtype, torch.float32))

    def _keep(self, reading: Hashable, vector: Tensor) -> None:
        if not self.kept:
            return
        # A row of a batch would keep the whole batch in memory.
        self._references[reading] = self._references.pop(reading, vector.clone())
        while len(self._references) > self.kept:
            self._references.popitem(last=False)


def _length(reading: Hashable) -> int:
    return len(reading) if isinstance(reading, Sized) else 0


def _read(
    rollouts: Rollouts, reading: Reading
) -> tuple[dict[tuple[int, int, int], Hashable], dict[tuple[int, int], Hashable]]:
    """Readings of rollouts by (batch, anchor, sample) and of references by (batch, anchor)."""
    sampled: dict[tuple[int, int, int], Hashable] = {}
    real: dict[tuple[int, int], Hashable] = {}
    starts = rollouts.batch.document_starts().tolist()
    sequences, anchors = rollouts.sequences.tolist(), rollouts.anchors.tolist()
    completions, ends = rollouts.completions.tolist(), rollouts.completion_mask.tolist()
    references, there = rollouts.references.tolist(), rollouts.reference_mask.tolist()
    for row, anchor in rollouts.anchor_mask.nonzero().tolist():
        place = anchors[row][anchor]
        begin = max(starts[row][place - 1], place - reading.context) if place else 0
        context = sequences[row][begin:place]
        tokens = _real(references[row][anchor], there[row][anchor])
        real[row, anchor] = reading(context, tokens)
        for sample in range(rollouts.samples):
            tokens = _real(completions[row][anchor][sample], ends[row][anchor][sample])
            sampled[row, anchor, sample] = reading(context, tokens)
    return sampled, real


def _real(tokens: list[int], mask: list[bool]) -> list[int]:
    return [token for token, real in zip(tokens, mask, strict=True) if real]
