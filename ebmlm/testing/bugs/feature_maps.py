"""Feature maps that see something else than a rollout and its context."""

from __future__ import annotations

import torch
from torch import Tensor

from ebmlm.features.base import FeatureMap, Features
from ebmlm.features.hidden_states import HiddenStateFeatures
from ebmlm.layout import Prefixes
from ebmlm.rollouts import Rollouts
from ebmlm.testing.bugs.bug import Bug
from ebmlm.testing.laws.feature_map import (
    features_carry_no_gradient,
    neighbours_move_no_feature,
    padding_moves_no_feature,
    samples_are_seen_alone,
)
from ebmlm.testing.tabular import TabularLanguageModel

__all__ = [
    "FEATURE_MAP_BUGS",
    "BatchCentred",
    "GroupCentred",
    "LastByRightPadding",
    "TrainableFeatures",
]


def _table() -> TabularLanguageModel:
    return TabularLanguageModel(3, 3, hidden=3, generator=torch.Generator().manual_seed(0))


class LastByRightPadding(FeatureMap):
    """Takes the token at the number of real tokens less one for the last: right if padded right."""

    def __init__(self) -> None:
        self.network = _table().frozen()

    @torch.no_grad()
    def __call__(self, rollouts: Rollouts) -> Features:
        """See :meth:`FeatureMap.__call__`; rollouts alone."""
        states = self.network.hidden_states(rollouts, [self.network.layer_count])
        prefixes = Prefixes.of(rollouts.batch, rollouts.anchors, rollouts.anchor_mask)
        anchors = prefixes.anchors.unsqueeze(-1)
        mask = rollouts.token_mask()
        last = prefixes.positions().unsqueeze(-1) + mask.sum(-1) - 1
        length = states.trunk[0].shape[1]
        index = torch.where(last < anchors, last, length + last - anchors).clamp(min=0)
        shape = (*mask.shape[:3], -1, -1)
        trunk = states.trunk[0][:, None, None].expand(shape)
        row = torch.cat([trunk, states.branches[0]], dim=-2)
        width = row.shape[-1]
        picked = row.gather(-2, index[..., None, None].expand(*mask.shape[:3], 1, width))
        seen = torch.where(mask.any(-1, keepdim=True), picked.squeeze(-2), 0)
        return Features(seen, None, (width,))


class TrainableFeatures(FeatureMap):
    """Looks through a layer that is still being trained."""

    def __init__(self) -> None:
        self.inner = HiddenStateFeatures(_table().frozen())
        self.scale = torch.ones((), dtype=torch.float64, requires_grad=True)

    def __call__(self, rollouts: Rollouts) -> Features:
        """See :meth:`FeatureMap.__call__`."""
        seen = self.inner(rollouts)
        return Features(seen.rollouts * self.scale, seen.references, seen.blocks)


class _Centred(FeatureMap):
    """Features less their mean over some axes."""

    axes: tuple[int, ...]

    def __init__(self) -> None:
        self.inner = HiddenStateFeatures(_table().frozen())

    @torch.no_grad()
    def __call__(self, rollouts: Rollouts) -> Features:
        """See :meth:`FeatureMap.__call__`."""
        seen = self.inner(rollouts)
        centred: Tensor = seen.rollouts - seen.rollouts.mean(self.axes, keepdim=True)
        valid = rollouts.anchor_mask[:, :, None, None]
        return Features(torch.where(valid, centred, 0), seen.references, seen.blocks)


class BatchCentred(_Centred):
    """Centres features by the batch that they happen to be in."""

    axes = (0, 1, 2)


class GroupCentred(_Centred):
    """Centres features by the samples of their own anchor."""

    axes = (2,)


FEATURE_MAP_BUGS = (
    Bug("last token by right-padding rule", LastByRightPadding, padding_moves_no_feature),
    Bug("gradient into the features", TrainableFeatures, features_carry_no_gradient),
    Bug("features centred by the batch", BatchCentred, neighbours_move_no_feature),
    Bug("features centred by the group", GroupCentred, samples_are_seen_alone),
)
"""Every wrong feature map."""
