"""Sharded models (FSDP2) as what the objective needs: whole while it runs.

A step makes several passes of its own over parts of the model, and rollouts end at other times on
other processes. Gathering layers pass by pass would have processes wait for gathers that never
come. So all weights are gathered once before a step's passes; gradients are scattered, and weights
sharded again, in the backward pass. Optimiser state and gradients stay sharded throughout
(docs/scaling.md, "What is sent").
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

__all__ = ["gather_weights", "scatter_weights", "whole", "whole_state"]


def gather_weights(model: nn.Module) -> None:
    """Gather the weights of every sharded module, on every process; nothing for other models.

    They stay until :func:`scatter_weights`, or until the backward pass is through them.
    """
    for module in _sharded(model):
        module.set_reshard_after_forward(False, recurse=False)
        module.unshard()


def scatter_weights(model: nn.Module) -> None:
    """Let go of what :func:`gather_weights` gathered."""
    for module in _sharded(model):
        module.reshard()


@contextmanager
def whole(model: nn.Module) -> Iterator[None]:
    """Hold the weights whole inside, for passes without gradient."""
    gather_weights(model)
    try:
        yield
    finally:
        scatter_weights(model)


def whole_state(model: nn.Module, keep: bool) -> dict[str, Tensor]:
    """Return the state of a sharded model with whole tensors, on the CPU.

    Every process calls it.

    Args:
        model: sharded.
        keep: whether this process wants it; the others get nothing.
    """
    state: dict[str, Tensor] = {}
    for name, value in model.state_dict().items():
        full = value.full_tensor() if hasattr(value, "full_tensor") else value
        if keep:
            state[name] = full.detach().cpu().clone()
    return state


def _sharded(model: nn.Module) -> list[Any]:
    from torch.distributed.fsdp import FSDPModule

    return [module for module in model.modules() if isinstance(module, FSDPModule)]
