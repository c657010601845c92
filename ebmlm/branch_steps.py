"""Attention of branches that grow by a token at a time, over trunk keys that they share."""

from __future__ import annotations

import torch
from einops import rearrange, repeat
from torch import Tensor, nn

from ebmlm.attention import TreeAttention
from ebmlm.layout import Prefixes, Survivors

__all__ = ["BranchSteps"]

# Tokens of a branch that there is room for at first; twice as many whenever it is used up.
_ROOM = 16


class BranchSteps(TreeAttention):
    """One new token for every branch a call, over the kept trunk and the branch's own past.

    The trunk's keys are held once per sequence and shared by all of its branches. Each forward
    pass adds one token to every branch; no gradient is kept.

    Args:
        kept: the trunk's keys and values by layer, from :class:`TrunkPass`.
        prefixes: what of the trunk the branches at each anchor see.
        samples: branches per anchor, N.
        horizon: tokens that a branch can grow to, G.

    Raises:
        NotImplementedError: where no layer has kept anything.
    """

    def __init__(
        self,
        kept: dict[nn.Module, tuple[Tensor, Tensor]],
        prefixes: Prefixes,
        samples: int,
        horizon: int,
    ) -> None:
        if not kept:
            raise NotImplementedError("none of its layers calls the replaced attention")
        self._kept = {
            layer: (key.contiguous(), value.contiguous()) for layer, (key, value) in kept.items()
        }
        self._horizon = horizon
        self._branches: dict[nn.Module, tuple[Tensor, Tensor]] = {}
        self._lengths: dict[nn.Module, int] = {}
        length = next(iter(kept.values()))[0].shape[2]
        self._hidden = repeat(
            ~prefixes.trunk_mask(length),
            "batch anchor position -> batch 1 (anchor sample) 1 position",
            sample=samples,
        )

    def __call__(
        self, layer: nn.Module, query: Tensor, key: Tensor, value: Tensor, scale: float
    ) -> Tensor:
        """See :meth:`TreeAttention.__call__`."""
        own_key, own_value = self._extend(layer, key, value)
        trunk_key, trunk_value = self._kept[layer]
        heads, length = trunk_key.shape[1:3]
        query = rearrange(query, "b (h group) n d -> b h n group d", h=heads)
        accumulate = torch.promote_types(query.dtype, torch.float32)
        scores = query.new_empty((*query.shape[:-1], length + own_key.shape[3]), dtype=accumulate)
        to_trunk, to_self = scores[..., :length], scores[..., length:]
        # All branches of a sequence meet the trunk's keys in one product.
        to_trunk.copy_((query.flatten(2, 3) @ trunk_key.mT).view(to_trunk.shape))
        to_trunk.masked_fill_(self._hidden, -torch.inf)
        to_self.copy_(query @ own_key.mT)
        weights = scores.mul_(scale).softmax(-1).to(value.dtype)
        over_trunk = weights[..., :length].flatten(2, 3) @ trunk_value
        output = weights[..., length:] @ own_value
        output += over_trunk.view(output.shape)
        return rearrange(output, "b h n group d -> b (h group) n d")

    def keep(self, survivors: Survivors) -> None:
        """Forget the keys of all branches but the ``survivors``, and of rows without any."""
        self._kept = {
            layer: (survivors.rows_of(key), survivors.rows_of(value))
            for layer, (key, value) in self._kept.items()
        }
        self._hidden = survivors.take(self._hidden.transpose(1, 2)).transpose(1, 2)
        for layer, (keys, values) in self._branches.items():
            self._branches[layer] = (
                self._taken(survivors, keys, self._lengths[layer]),
                self._taken(survivors, values, self._lengths[layer]),
            )

    def _taken(self, survivors: Survivors, held: Tensor, length: int) -> Tensor:
        grown = held.transpose(1, 2)[:, :, :, :length]
        return self._room(survivors.take(grown).transpose(1, 2), length)

    def _extend(self, layer: nn.Module, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Append this step's keys and values; return the branch's own, (b, h, branch, step, d)."""
        step = self._lengths.get(layer, 0)
        # Room for nothing yet.
        nothing = (key.unsqueeze(3)[:, :, :, :0], value.unsqueeze(3)[:, :, :, :0])
        keys, values = self._branches.setdefault(layer, nothing)
        if step == keys.shape[3]:
            keys, values = self._room(keys, step), self._room(values, step)
            self._branches[layer] = (keys, values)
        keys[:, :, :, step], values[:, :, :, step] = key, value
        self._lengths[layer] = step + 1
        return keys[:, :, :, : step + 1], values[:, :, :, : step + 1]

    def _room(self, held: Tensor, length: int) -> Tensor:
        """The first ``length`` tokens of what is held, with room for as many again."""
        room = min(self._horizon, max(_ROOM, 2 * length))
        wider = held.new_empty((*held.shape[:3], room, held.shape[-1]))
        wider[:, :, :, :length] = held[:, :, :, :length]
        return wider
