"""Which layers of a network features are taken from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from ebmlm.errors import UserError

__all__ = ["Depths", "LayerChoice", "LayerIndices"]


class LayerChoice(ABC):
    """Answers one question: the hidden states after how many layers are looked at?"""

    @abstractmethod
    def __call__(self, layer_count: int) -> tuple[int, ...]:
        """Return numbers of layers, in 0 (the embeddings) to ``layer_count`` (the last state)."""


class LayerIndices(LayerChoice):
    """Layers by number: 0 is the embeddings, n the state after n layers; negative from the end.

    Raises:
        UserError: for no index; when called, for one that the network does not have.
    """

    def __init__(self, indices: Sequence[int]) -> None:
        if not indices:
            raise UserError("no layer index: name at least one layer")
        self.indices = tuple(indices)

    def __call__(self, layer_count: int) -> tuple[int, ...]:
        """See :meth:`LayerChoice.__call__`."""
        for index in self.indices:
            if not -layer_count - 1 <= index <= layer_count:
                raise UserError(
                    f"layer {index}: this network has layers 0 to {layer_count}"
                    f" (or {-layer_count - 1} to -1 from the end)"
                )
        return tuple(index % (layer_count + 1) for index in self.indices)


class Depths(LayerChoice):
    """Layers by depth, as fractions of the network: 0.5 is the state half-way up.

    Args:
        fractions: each in [0, 1]; the method's paper takes 0.25, 0.5 and 0.75.

    Raises:
        UserError: for no fraction, or one outside [0, 1].
    """

    def __init__(self, fractions: Sequence[float] = (0.25, 0.5, 0.75)) -> None:
        if not fractions:
            raise UserError("no depth: name at least one fraction of the network's layers")
        for fraction in fractions:
            if not 0 <= fraction <= 1:
                raise UserError(f"depth {fraction}: it must be a fraction from 0 to 1")
        self.fractions = tuple(fractions)

    def __call__(self, layer_count: int) -> tuple[int, ...]:
        """See :meth:`LayerChoice.__call__`."""
        # 0.29 x 100 is a little under 29 in floating point.
        return tuple(int(fraction * layer_count + 1e-9) for fraction in self.fractions)
