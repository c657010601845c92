"""Tree attention by PyTorch's flex attention: one kernel, with a block mask made from the tree."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from ebmlm.attention import TreeAttention
from ebmlm.layout import PrefixTree

__all__ = ["FlexTreePass"]


class FlexTreePass(TreeAttention):
    """Trunk and branches at once, in blocks; blocks that nobody sees are not computed.

    For GPUs, where it is compiled; a model is given it as ``tree_attention=FlexTreePass``. Its
    forward pass is tested on the CPU, for which PyTorch has no backward pass of it; it has not been
    run on a GPU (docs/limits.md).
    """

    def __init__(self, tree: PrefixTree) -> None:
        from torch.nn.attention.flex_attention import create_block_mask

        sees = _sees(tree)
        batch, nodes = tree.tokens.shape
        self._mask = create_block_mask(
            sees, batch, None, nodes, nodes, device=str(tree.tokens.device)
        )

    def __call__(
        self, layer: nn.Module, query: Tensor, key: Tensor, value: Tensor, scale: float
    ) -> Tensor:
        """See :meth:`TreeAttention.__call__`."""
        output: Tensor = _kernel(query.device.type)(
            query, key, value, block_mask=self._mask, scale=scale, enable_gqa=True
        )
        return output


def _sees(tree: PrefixTree) -> Callable[..., Tensor]:
    """Whether a query node sees a key node, as a mask function of flex attention."""
    length = tree.trunk_length
    low, high = tree.visible_trunk()
    branch = tree.branch_numbers()

    def sees(row: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        in_trunk = (key < length) & (key >= low[row, query]) & (key < high[row, query])
        in_branch = (key >= length) & (branch[key] == branch[query]) & (key <= query)
        return in_trunk | in_branch

    return sees


@cache
def _kernel(device: str) -> Callable[..., Any]:
    from torch.nn.attention.flex_attention import flex_attention

    if device == "cpu":
        return flex_attention
    return torch.compile(flex_attention, dynamic=False)
