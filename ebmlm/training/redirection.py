"""Running any computation as the forward pass of a wrapped model.

Wrappers for several processes (DDP, FSDP) prepare themselves when their ``forward`` is called. An
objective makes several passes over parts of the model, so it is run *as* that forward: the wrapper
sees one call, with everything in it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

__all__ = ["forward_through"]


def forward_through(wrapped: nn.Module, inner: nn.Module, function: Callable[[], Any]) -> Any:
    """Call ``wrapped`` in such a way that ``function`` runs in place of ``inner``'s forward.

    Args:
        wrapped: ``inner`` itself, or any wrapper around it that calls its ``forward`` once.
        inner: the module whose forward is replaced, for this one call; inside ``function`` it is
            the usual one again.
        function: what to run; its return value is returned through the wrapper.
    """
    own = inner.__dict__.get("forward")

    def restore() -> None:
        if own is None:
            inner.__dict__.pop("forward", None)
        else:
            inner.__dict__["forward"] = own

    def redirected(*args: Any, **kwargs: Any) -> Any:
        restore()
        return function()

    inner.__dict__["forward"] = redirected
    try:
        return wrapped()
    finally:
        restore()
