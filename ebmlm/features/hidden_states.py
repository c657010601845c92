"""Features from the hidden states of a frozen network (Jelassi et al. 2026, section 4)."""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor

from ebmlm.features.base import FeatureMap, Features
from ebmlm.features.layers import Depths, LayerChoice
from ebmlm.features.normalisation import JointLength, Normalisation
from ebmlm.features.pooling import LastToken, Pooling
from ebmlm.language_model import LanguageModel
from ebmlm.rollouts import Rollouts

__all__ = ["HiddenStateFeatures"]


class HiddenStateFeatures(FeatureMap):
    """Pooled hidden states of some layers of a frozen network, concatenated.

    Rollouts and references are read in one pass over the prefix tree: the references stand in the
    trunk. Layers above the deepest one asked for are not run.

    Args:
        network: a frozen language model with the policy's vocabulary: ``policy.frozen()`` (a copy,
            or the base of a PEFT model with its adapters off), or another model.
        layers: which layers.
        pooling: how the states of a continuation's tokens become one vector.
        normalisation: the length that the vectors are brought to.
        apart: whether an energy matches each layer on its own (``Features.blocks``) and averages,
            instead of the concatenation as a whole.

    Raises:
        UserError: for a layer that the network does not have.
        ValueError: when called, for references that are not the text after their anchors.
    """

    def __init__(
        self,
        network: LanguageModel,
        layers: LayerChoice | None = None,
        pooling: Pooling | None = None,
        normalisation: Normalisation | None = None,
        apart: bool = False,
    ) -> None:
        self.network = network
        self.layers = (Depths() if layers is None else layers)(network.layer_count)
        self.pooling = LastToken() if pooling is None else pooling
        self.normalisation = JointLength() if normalisation is None else normalisation
        self.apart = apart

    @property
    def blocks(self) -> tuple[int, ...] | None:
        """Known unless the pooling's width depends on the horizon."""
        if self.pooling.factor is None:
            return None
        return self._blocks(self.pooling.factor * self.network.hidden_size)

    @torch.no_grad()
    def __call__(self, rollouts: Rollouts) -> Features:
        """See :meth:`FeatureMap.__call__`; float32, or float64 where the network is."""
        return self.differentiable(rollouts)

    def differentiable(self, rollouts: Rollouts) -> Features:
        """Return the same with gradient, where the network is not frozen."""
        states = self.network.hidden_states(rollouts, self.layers)
        mask = rollouts.token_mask()
        horizon = rollouts.horizon
        sampled = self._vector(
            torch.stack([self._pooled(layer, mask, horizon) for layer in states.branches], dim=-2)
        )
        real = self._vector(
            torch.stack(
                [self._pooled(*_after_anchors(t, rollouts), horizon) for t in states.trunk], dim=-2
            )
        )
        return Features(sampled, real, self._blocks(sampled.shape[-1] // len(self.layers)))

    def _blocks(self, layer: int) -> tuple[int, ...]:
        count = len(self.layers)
        return (layer,) * count if self.apart else (layer * count,)

    def _pooled(self, states: Tensor, mask: Tensor, horizon: int) -> Tensor:
        wide = states.to(torch.promote_types(states.dtype, torch.float32))
        return self.pooling(wide, mask, horizon)

    def _vector(self, layers: Tensor) -> Tensor:
        return rearrange(self.normalisation(layers), "... layer feature -> ... (layer feature)")


def _after_anchors(trunk: Tensor, rollouts: Rollouts) -> tuple[Tensor, Tensor]:
    """Trunk states (batch, anchor, reference, feature) of the references, and their mask."""
    mask = rollouts.reference_mask
    index = rollouts.anchors.unsqueeze(-1) + torch.arange(mask.shape[-1], device=mask.device)
    index = index.clamp(0, trunk.shape[1] - 1)
    flat = rearrange(index, "batch anchor reference -> batch (anchor reference)")
    tokens = rollouts.sequences.gather(1, flat).view_as(mask.long())
    if (mask & (tokens != rollouts.references)).any():
        raise ValueError(
            "references are not the text after their anchors: hidden-state features read them"
            " from the sequence, so build rollouts with gather_continuations"
        )
    states = trunk.gather(1, flat.unsqueeze(-1).expand(-1, -1, trunk.shape[-1]))
    return states.view(*mask.shape, -1), mask
