"""What the head of a learned energy reads: vectors, with gradient where their network trains."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import nn

from ebmlm.features.base import FeatureMap, Features
from ebmlm.features.hidden_states import HiddenStateFeatures
from ebmlm.rollouts import Rollouts

__all__ = ["FixedFeatures", "Representation", "TrainedStates"]


class Representation(ABC):
    """Answers one question: which vector does a learned energy read of a completion?

    A vector depends on its own context and tokens only, like a feature, and is zero at invalid
    anchors.

    Attributes:
        network: what of it trains; None where nothing does.
        width: features of a vector, where they are known before the first call.
    """

    network: nn.Module | None = None
    width: int | None = None

    @abstractmethod
    def __call__(self, rollouts: Rollouts) -> Features:
        """Return the vectors of rollouts and of the real continuations, from one pass."""


class FixedFeatures(Representation):
    """Any feature map, which stays as it is: only the head trains."""

    def __init__(self, features: FeatureMap) -> None:
        self.features = features
        self.width = features.width

    def __call__(self, rollouts: Rollouts) -> Features:
        """See :meth:`Representation.__call__`; without gradient."""
        return self.features(rollouts)


class TrainedStates(Representation):
    """Pooled hidden states of a network that trains with the head.

    Args:
        features: of a language model with trainable weights of its own: a copy, since the one that
            the energy corrects must stay as it is.
        network: the modules that train; by default those below the language model's head. Of these,
            the layers above the deepest one that ``features`` reads get no gradient.
    """

    def __init__(self, features: HiddenStateFeatures, network: nn.Module | None = None) -> None:
        self.features = features
        self.width = features.width
        found = getattr(features.network, "body", features.network) if network is None else network
        if not isinstance(found, nn.Module):
            raise TypeError("say which module trains: give it as network=")
        self.network = found

    def __call__(self, rollouts: Rollouts) -> Features:
        """See :meth:`Representation.__call__`; with gradient."""
        return self.features.differentiable(rollouts)
