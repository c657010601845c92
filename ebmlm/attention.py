"""Attention over a prefix tree, behind the one function that transformers models call.

A model prepared with :func:`install` runs as usual until a forward pass is made inside
:func:`attending`: then every attention layer hands its queries, keys and values to the given
:class:`TreeAttention`, which knows what each token may see. The object travels down the model as
its attention mask, so that recomputation in the backward pass (gradient checkpointing) meets the
same one. What a layer sees is exact; only work that the tree does not need is left out.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from einops import rearrange, repeat
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from ebmlm.layout import Prefixes, PrefixTree, Trunk

__all__ = ["BranchSteps", "TreeAttention", "TreePass", "TrunkPass", "attending", "install"]

IMPLEMENTATION = "ebmlm_tree"

# Branch queries that share one call: few enough that keys nobody sees stay rare, enough that the
# call is worth its overhead.
_QUERIES_PER_CALL = 256


class TreeAttention(ABC):
    """Answers one question: what does a layer's attention give for these queries?"""

    @abstractmethod
    def __call__(
        self, layer: nn.Module, query: Tensor, key: Tensor, value: Tensor, scale: float
    ) -> Tensor:
        """Return the attention output (batch, head, node, width).

        Args:
            layer: the attention module that calls, which stands for its own cached keys.
            query: (batch, head, node, width), positions already applied.
            key: (batch, key head, node, width); every key head serves the same number of heads.
            value: (batch, key head, node, width).
            scale: what scores are multiplied with.
        """


def _serve_all_heads(states: Tensor, heads: int) -> Tensor:
    return repeat(
        states,
        "batch key_head node width -> batch (key_head group) node width",
        group=heads // states.shape[1],
    )


class TrunkPass(TreeAttention):
    """The trunk alone: causal within each document. Keys and values are kept where asked for."""

    def __init__(self, trunk: Trunk, keep: bool = False) -> None:
        self.kept: dict[nn.Module, tuple[Tensor, Tensor]] | None = {} if keep else None
        self._mask = None if trunk.is_causal else trunk.attention_mask().unsqueeze(1)

    def __call__(
        self, layer: nn.Module, query: Tensor, key: Tensor, value: Tensor, scale: float
    ) -> Tensor:
        """See :meth:`TreeAttention.__call__`."""
        if self.kept is not None:
            self.kept[layer] = (key, value)
        heads = query.shape[1]
        return scaled_dot_product_attention(
            query,
            _serve_all_heads(key, heads),
            _serve_all_heads(value, heads),
            attn_mask=self._mask,
            is_causal=self._mask is None,
            scale=scale,
        )


class TreePass(TreeAttention):
    """Trunk and branches at once.

    The trunk attends causally. Branches are taken a few anchors at a time, each chunk over the
    trunk before its last anchor and over its own branches, so that cost grows with the number of
    anchors and not with its square.
    """

    def __init__(self, tree: PrefixTree) -> None:
        anchor, sample, token = tree.shape
        self._trunk = TrunkPass(tree.trunk)
        self._length = tree.trunk_length
        per_anchor = sample * token
        chunk = max(1, _QUERIES_PER_CALL // per_anchor) if per_anchor else 1
        visible = tree.prefixes.trunk_mask(self._length)
        first = tree.prefixes.anchors.masked_fill(tree.prefixes.anchors == 0, self._length)
        lows = torch.where(tree.prefixes.anchors == 0, first, tree.prefixes.starts).amin(0).tolist()
        highs = tree.prefixes.anchors.amax(0).tolist()
        self._sizes = [self._length]
        self._chunks: list[tuple[slice, Tensor]] = []
        for begin in range(0, anchor, chunk):
            end = min(begin + chunk, anchor)
            low, high = min(lows[begin:end]), max(highs[begin:end])
            prefix = slice(min(low, high), high)
            trunk = repeat(
                visible[:, begin:end, prefix],
                "batch anchor position -> batch 1 (anchor sample token) position",
                sample=sample,
                token=token,
            )
            own = _own_branch(end - begin, sample, token, trunk.device)
            own = own.expand(trunk.shape[0], 1, -1, -1)
            self._sizes.append((end - begin) * per_anchor)
            self._chunks.append((prefix, torch.cat([trunk, own], dim=-1)))

    def __call__(
        self, layer: nn.Module, query: Tensor, key: Tensor, value: Tensor, scale: float
    ) -> Tensor:
        """See :meth:`TreeAttention.__call__`."""
        heads = query.shape[1]
        key, value = _serve_all_heads(key, heads), _serve_all_heads(value, heads)
        # Splits, whose gradients are joined; those of slices would each be padded with zeros.
        trunk_query, *queries = query.split(self._sizes, dim=2)
        trunk_key, *keys = key.split(self._sizes, dim=2)
        trunk_value, *values = value.split(self._sizes, dim=2)
        outputs = [self._trunk(layer, trunk_query, trunk_key, trunk_value, scale)]
        for chunk, (prefix, mask) in enumerate(self._chunks):
            outputs.append(
                scaled_dot_product_attention(
                    queries[chunk],
                    torch.cat([trunk_key[:, :, prefix], keys[chunk]], dim=2),
                    torch.cat([trunk_value[:, :, prefix], values[chunk]], dim=2),
                    attn_mask=mask,
                    scale=scale,
                )
            )
        return torch.cat(outputs, dim=2)


def _own_branch(anchors: int, samples: int, tokens: int, device: torch.device) -> Tensor:
    """True (node, node) where both stand in the same branch, the key not after the query."""
    branch = torch.arange(anchors * samples, device=device).repeat_interleave(tokens)
    step = torch.arange(tokens, device=device).repeat(anchors * samples)
    same = branch.unsqueeze(1) == branch.unsqueeze(0)
    return same & (step.unsqueeze(0) <= step.unsqueeze(1))


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
        self._kept = kept
        self._horizon = horizon
        self._branches: dict[nn.Module, tuple[Tensor, Tensor]] = {}
        self._lengths: dict[nn.Module, int] = {}
        length = next(iter(kept.values()))[0].shape[2]
        self._hidden = repeat(
            ~prefixes.trunk_mask(length),
            "batch anchor position -> batch 1 1 (anchor sample) position",
            sample=samples,
        )

    def __call__(
        self, layer: nn.Module, query: Tensor, key: Tensor, value: Tensor, scale: float
    ) -> Tensor:
        """See :meth:`TreeAttention.__call__`."""
        own_key, own_value = self._extend(layer, key, value)
        trunk_key, trunk_value = self._kept[layer]
        query = rearrange(query, "b (h group) n d -> b h group n d", h=key.shape[1])
        to_trunk = torch.einsum("b h g n d, b h t d -> b h g n t", query, trunk_key)
        to_self = torch.einsum("b h g n d, b h s n d -> b h g n s", query, own_key)
        accumulate = torch.promote_types(query.dtype, torch.float32)
        scores = torch.cat(
            [
                to_trunk.to(accumulate).masked_fill(self._hidden, -torch.inf),
                to_self.to(accumulate),
            ],
            dim=-1,
        )
        weights = (scores * scale).softmax(-1).to(value.dtype)
        trunk_weights, self_weights = weights.split([to_trunk.shape[-1], to_self.shape[-1]], dim=-1)
        output = torch.einsum("b h g n t, b h t d -> b h g n d", trunk_weights, trunk_value)
        output = output + torch.einsum("b h g n s, b h s n d -> b h g n d", self_weights, own_value)
        return rearrange(output, "b h group n d -> b (h group) n d")

    def _extend(self, layer: nn.Module, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Append this step's keys and values; return the branch's own, (b, h, step, branch, d)."""
        if layer not in self._branches:
            batch, heads, branches, _ = key.shape
            shape = (batch, heads, self._horizon, branches)
            self._branches[layer] = (
                key.new_empty((*shape, key.shape[-1])),
                value.new_empty((*shape, value.shape[-1])),
            )
            self._lengths[layer] = 0
        step = self._lengths[layer]
        keys, values = self._branches[layer]
        keys[:, :, step], values[:, :, step] = key, value
        self._lengths[layer] = step + 1
        return keys[:, :, : step + 1], values[:, :, : step + 1]


_active: ContextVar[TreeAttention | None] = ContextVar("active_tree_attention", default=None)


@contextmanager
def attending(attention: TreeAttention) -> Iterator[None]:
    """Run the forward passes made inside with ``attention`` in every layer."""
    token = _active.set(attention)
    try:
        yield
    finally:
        _active.reset(token)


def _mask_function(*args: Any, **kwargs: Any) -> Any:
    from transformers.masking_utils import sdpa_mask

    active = _active.get()
    return sdpa_mask(*args, **kwargs) if active is None else active


def _attention_function(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Any,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    if not isinstance(attention_mask, TreeAttention):
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, **kwargs
        )
    for name in ("softcap", "s_aux", "position_bias"):
        if kwargs.get(name) is not None:
            raise NotImplementedError(f"attention with {name}")
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    output = attention_mask(module, query, key, value, scale)
    return output.transpose(1, 2).contiguous(), None


def install(model: Any) -> None:
    """Make the attention layers of a transformers ``model`` call this module's function.

    Outside :func:`attending` the model behaves as with PyTorch's scaled dot-product attention.
    The choice is not saved with the model.
    """
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface

    AttentionInterface.register(IMPLEMENTATION, _attention_function)
    AttentionMaskInterface.register(IMPLEMENTATION, _mask_function)
    model.set_attn_implementation(IMPLEMENTATION)
