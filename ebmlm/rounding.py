"""Weights rounded once a pass: float32 to learn in, bfloat16 to compute in.

Under ``torch.autocast`` activations between the matrix products stay in float32, and are converted
back and forth around each. Here a pass inside ``torch.autocast`` rounds every weight once, with
gradient, and computes in the lower precision throughout, which is half the memory and, on a CPU,
half the time. Gradients arrive at the float32 weights, so accumulation, clipping and the optimiser
see float32, and wrappers for several processes see nothing unusual.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

__all__ = ["Rounded", "rounded"]


class Rounded:
    """Modules as a pass calls them: with rounded weights, or as they are.

    Args:
        modules: that are called in one pass; a weight that they share is rounded once.
        dtype: to round to, or None to leave the modules to autocast.
        device: type of the device, "cpu" or "cuda".
    """

    def __init__(self, modules: Iterable[nn.Module], dtype: torch.dtype | None, device: str):
        self._dtype, self._device = dtype, device
        self._weights: dict[nn.Module, dict[str, Tensor]] = {}
        if dtype is None:
            return
        seen: dict[int, Tensor] = {}
        for module in modules:
            weights = {}
            for name, weight in module.named_parameters(remove_duplicate=False):
                if weight.is_floating_point():
                    weights[name] = seen.setdefault(id(weight), weight.to(dtype))
            self._weights[module] = weights

    def __call__(self, module: nn.Module) -> Callable[..., Any]:
        """Return ``module`` as something to call."""
        if self._dtype is None:
            return module

        def call(*arguments: Any, **options: Any) -> Any:
            # A gradient that is recomputed later calls this again, outside of any region.
            with torch.autocast(self._device, enabled=False):
                return functional_call(module, self._weights[module], arguments, options)

        return call


def rounded(modules: Iterable[nn.Module], device: str, whole: bool) -> Rounded:
    """Round the weights of ``modules`` to the type of the autocast region we are in, if any.

    Args:
        modules: that are called in one pass.
        device: type of the device, "cpu" or "cuda".
        whole: whether rounded parameters are all that a pass computes with. They are not where
            layers are recomputed in the backward pass, which find the float32 weights then, nor
            beside adapters with floating-point buffers; such passes are left to autocast.
    """
    dtype = None
    if torch.is_autocast_enabled(device) and whole:
        dtype = torch.get_autocast_dtype(device)
    return Rounded(modules, dtype, device)
