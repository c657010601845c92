"""Passes in float32 over weights of half precision, without a second copy of the model.

What is decided by comparing two passes must not hang on rounding: at logits of 30, neighbouring
numbers of bfloat16 are an eighth of a nat apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["widened"]

_HALF = (torch.float16, torch.bfloat16)


@contextmanager
def widened(model: nn.Module, stack: nn.ModuleList) -> Iterator[None]:
    """Compute the passes made inside in float32, one layer's weights at a time.

    Args:
        model: whose weights of half precision are widened while the layer that they stand in runs;
            afterwards they are what they were. Passes with gradient are not meant.
        stack: its layers.
    """
    hooks = []
    # Layers of bitsandbytes have a type to compute in.
    kept: list[tuple[Any, Any]] = [
        (module, module.compute_dtype) for module in model.modules() if _computes(module)
    ]
    try:
        for module, _ in kept:
            module.compute_dtype = torch.float32
        for unit in _units(model, stack):
            before: list[tuple[nn.Parameter, Tensor]] = []
            hooks.append(unit.register_forward_pre_hook(_widen(before)))
            hooks.append(unit.register_forward_hook(_restore(before), always_call=True))
        yield
    finally:
        for hook in hooks:
            hook.remove()
        for module, dtype in kept:
            module.compute_dtype = dtype


def _computes(module: Any) -> bool:
    return getattr(module, "compute_dtype", None) in _HALF


def _units(module: nn.Module, stack: nn.ModuleList) -> Iterator[nn.Module]:
    """The layers, and the largest modules beside them."""
    if module is stack:
        yield from stack
    elif any(inner is stack for inner in module.modules()):
        for child in module.children():
            yield from _units(child, stack)
    else:
        yield module


def _widen(before: list[tuple[nn.Parameter, Tensor]]) -> Any:
    def hook(module: nn.Module, inputs: Any) -> None:
        for parameter in module.parameters():
            if parameter.dtype in _HALF:
                before.append((parameter, parameter.data))
                parameter.data = parameter.data.float()

    return hook


def _restore(before: list[tuple[nn.Parameter, Tensor]]) -> Any:
    def hook(module: nn.Module, inputs: Any, output: Any) -> None:
        for parameter, data in before:
            parameter.data = data
        before.clear()

    return hook
