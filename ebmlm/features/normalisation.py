"""The length that feature vectors are brought to."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from einops import reduce
from torch import Tensor

__all__ = ["JointLength", "LayerLength", "Normalisation", "Unnormalised"]


class Normalisation(ABC):
    """Answers one question: to which length are the pooled states of the layers brought?"""

    @abstractmethod
    def __call__(self, layers: Tensor) -> Tensor:
        """Scale pooled states (..., layer, feature); zero vectors stay zero."""


class JointLength(Normalisation):
    """All layers together have length one: the method's own normalisation."""

    def __call__(self, layers: Tensor) -> Tensor:
        """See :meth:`Normalisation.__call__`."""
        squares = reduce(layers.square(), "... layer feature -> ... 1 1", "sum")
        return layers / squares.sqrt().clamp(min=torch.finfo(layers.dtype).tiny)


class LayerLength(Normalisation):
    """Each layer has length one, whatever the scale of its states."""

    def __call__(self, layers: Tensor) -> Tensor:
        """See :meth:`Normalisation.__call__`."""
        squares = reduce(layers.square(), "... layer feature -> ... layer 1", "sum")
        return layers / squares.sqrt().clamp(min=torch.finfo(layers.dtype).tiny)


class Unnormalised(Normalisation):
    """The states as they are."""

    def __call__(self, layers: Tensor) -> Tensor:
        """See :meth:`Normalisation.__call__`."""
        return layers
