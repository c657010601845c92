"""Attention over a prefix tree, behind the one function that transformers models call.

A model prepared with :func:`install` runs as usual until a forward pass is made inside
:func:`attending`: then every attention layer hands its queries, keys and values to the given
:class:`TreeAttention`, which knows what each token may see. The object travels down the model as
its attention mask, so that recomputation in the backward pass (gradient checkpointing) meets the
same one. What a layer sees is exact; only work that the tree does not need is left out.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from einops import repeat
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from ebmlm.layout import PrefixTree, Trunk

__all__ = ["TreeAttention", "TreePass", "TrunkPass", "attending", "install"]

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

    The trunk attends causally. Branches are taken a few anchors at a time, and where one anchor has
    too many tokens a few of its branches, each chunk over the trunk before its last anchor and over
    its own branches, so that cost grows with the number of branches and not with its square.
    """

    def __init__(self, tree: PrefixTree) -> None:
        anchor, sample, token = tree.shape
        self._trunk = TrunkPass(tree.trunk)
        self._length = tree.trunk_length
        visible = tree.prefixes.trunk_mask(self._length)
        first = tree.prefixes.anchors.masked_fill(tree.prefixes.anchors == 0, self._length)
        lows = torch.where(tree.prefixes.anchors == 0, first, tree.prefixes.starts).amin(0).tolist()
        highs = tree.prefixes.anchors.amax(0).tolist()
        self._sizes = [self._length]
        self._chunks: list[tuple[slice, Tensor]] = []
        for begin, end, samples in _chunks(anchor, sample, token):
            low, high = min(lows[begin:end]), max(highs[begin:end])
            prefix = slice(min(low, high), high)
            trunk = repeat(
                visible[:, begin:end, prefix],
                "batch anchor position -> batch 1 (anchor sample token) position",
                sample=samples,
                token=token,
            )
            own = _own_branch(end - begin, samples, token, trunk.device)
            own = own.expand(trunk.shape[0], 1, -1, -1)
            self._sizes.append((end - begin) * samples * token)
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


def _chunks(anchors: int, samples: int, tokens: int) -> list[tuple[int, int, int]]:
    """Anchors from, to (exclusive), and branches of each of these, of every chunk in node order."""
    at_once = max(1, _QUERIES_PER_CALL // (samples * tokens)) if samples * tokens else 1
    if at_once * samples * tokens <= _QUERIES_PER_CALL:
        edges = [*range(0, anchors, at_once), anchors]
        return [(begin, end, samples) for begin, end in itertools.pairwise(edges)]
    most = max(1, _QUERIES_PER_CALL // tokens)
    parts = [min(most, samples - begin) for begin in range(0, samples, most)]
    return [(anchor, anchor + 1, part) for anchor in range(anchors) for part in parts]


def _own_branch(anchors: int, samples: int, tokens: int, device: torch.device) -> Tensor:
    """True (node, node) where both stand in the same branch, the key not after the query."""
    branch = torch.arange(anchors * samples, device=device).repeat_interleave(tokens)
    step = torch.arange(tokens, device=device).repeat(anchors * samples)
    same = branch.unsqueeze(1) == branch.unsqueeze(0)
    return same & (step.unsqueeze(0) <= step.unsqueeze(1))


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
