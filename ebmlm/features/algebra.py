"""Feature maps made of feature maps: concatenated, scaled, brought to a length.

Everything here takes feature maps and is one, and what does not fit is refused when it is put
together. Projections are :mod:`ebmlm.features.projection`, a fixed metric
:class:`ebmlm.features.metric.Whitened`, other kernels than the linear one
:mod:`ebmlm.features.random_fourier`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ebmlm.errors import UserError
from ebmlm.features.base import FeatureMap, Features, mapped
from ebmlm.rollouts import Rollouts

__all__ = ["Concatenated", "Normalised", "Scaled", "known_width"]


def known_width(features: FeatureMap, purpose: str) -> int:
    """Return the features' width.

    Raises:
        UserError: where it is not known before the first call; says that ``purpose`` needs it.
    """
    if features.width is None:
        raise UserError(
            f"the width of {type(features).__name__} is not known before it is called, and"
            f" {purpose} needs it: choose a pooling whose width does not depend on the horizon, or"
            " declare `blocks`"
        )
    return features.width


class Scaled(FeatureMap):
    """Every vector times a number; inner products are multiplied by its square.

    Also written ``factor * features``.

    Raises:
        UserError: for a factor that is not finite.
    """

    def __init__(self, features: FeatureMap, factor: float) -> None:
        if not math.isfinite(factor):
            raise UserError(f"factor is {factor}: scale features by a finite number")
        self.features = features
        self.factor = factor

    @property
    def blocks(self) -> tuple[int, ...] | None:
        """Those of what is scaled."""
        return self.features.blocks

    def __call__(self, rollouts: Rollouts) -> Features:
        """See :meth:`FeatureMap.__call__`."""
        return mapped(self.features(rollouts), lambda vectors: vectors * self.factor)


class Normalised(FeatureMap):
    """Every vector at length one (or zero, where it is zero), as a whole or each block.

    Args:
        features: of any length.
        apart: whether each block is brought to length one on its own.
    """

    def __init__(self, features: FeatureMap, apart: bool = False) -> None:
        self.features = features
        self.apart = apart

    @property
    def blocks(self) -> tuple[int, ...] | None:
        """Those of what is normalised."""
        return self.features.blocks

    def __call__(self, rollouts: Rollouts) -> Features:
        """See :meth:`FeatureMap.__call__`."""
        features = self.features(rollouts)
        widths = features.blocks if self.apart else (sum(features.blocks),)
        return mapped(
            features,
            lambda vectors: torch.cat([_unit(part) for part in vectors.split(widths, -1)], -1),
        )


def _unit(vectors: Tensor) -> Tensor:
    length = vectors.norm(dim=-1, keepdim=True)
    return vectors / length.clamp(min=torch.finfo(vectors.dtype).tiny)


class Concatenated(FeatureMap):
    """Several feature maps side by side: inner products are their weighted sum.

    Also written ``one | another``; concatenations of concatenations are flat where they say the
    same.

    Args:
        parts: at least one; all of them with references, or none.
        weights: of each part's inner product, at least zero; one each by default. A part's vectors
            are scaled by the root of its weight.
        apart: whether an energy matches the parts (and their blocks) each on its own and averages,
            instead of the concatenation as a whole.

    Raises:
        UserError: for no parts, another number of weights than parts, a weight that is negative or
            not finite; when called, where only some parts have references.
    """

    def __init__(
        self,
        parts: Sequence[FeatureMap],
        weights: Sequence[float] | None = None,
        apart: bool = False,
    ) -> None:
        if not parts:
            raise UserError("a concatenation of no feature maps: give at least one")
        weights = [1.0] * len(parts) if weights is None else list(weights)
        if len(weights) != len(parts):
            raise UserError(
                f"{len(weights)} weights for {len(parts)} feature maps: give one weight for each"
            )
        for weight in weights:
            if not 0 <= weight < math.inf:
                raise UserError(f"weight {weight}: it must be finite and at least 0")
        self.apart: bool = apart
        flat: list[tuple[FeatureMap, float]] = []
        for part, weight in zip(parts, weights, strict=True):
            if isinstance(part, Concatenated) and part.apart == apart:
                inner = zip(part.parts, part.weights, strict=True)
                flat += [(one, weight * own) for one, own in inner]
            else:
                flat.append((part, weight))
        self.parts: tuple[FeatureMap, ...] = tuple(part for part, _ in flat)
        self.weights: tuple[float, ...] = tuple(weight for _, weight in flat)

    @property
    def blocks(self) -> tuple[int, ...] | None:
        """One, or those of all parts where they stand apart."""
        each = [part.blocks for part in self.parts]
        widths = [width for blocks in each if blocks is not None for width in blocks]
        if None in each:
            return None
        return tuple(widths) if self.apart else (sum(widths),)

    def __call__(self, rollouts: Rollouts) -> Features:
        """See :meth:`FeatureMap.__call__`; in the widest of the parts' number formats."""
        found = [
            Scaled(part, weight**0.5)(rollouts)
            for part, weight in zip(self.parts, self.weights, strict=True)
        ]
        widths = tuple(width for features in found for width in features.blocks)
        references = [features.references for features in found if features.references is not None]
        if references and len(references) < len(found):
            raise UserError(
                "some of these feature maps have references and some have none: they cannot stand"
                " side by side"
            )
        return Features(
            _side_by_side([features.rollouts for features in found]),
            _side_by_side(references) if references else None,
            widths if self.apart else (sum(widths),),
        )


def _side_by_side(vectors: Sequence[Tensor]) -> Tensor:
    dtype = vectors[0].dtype
    for one in vectors[1:]:
        dtype = torch.promote_types(dtype, one.dtype)
    return torch.cat([one.to(vectors[0].device, dtype) for one in vectors], dim=-1)
