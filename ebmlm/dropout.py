"""Dropout set to zero, wherever a model or its adapters keep it."""

from __future__ import annotations

from typing import Any

from torch import nn

__all__ = ["switch_off_dropout"]

_RATES = ("dropout", "attention_dropout", "activation_dropout", "layerdrop")
# What adapters keep as one rate for each of them, by name.
_TABLES = ("rank_dropout", "module_dropout")


def switch_off_dropout(model: nn.Module) -> None:
    """Set every dropout rate of ``model`` to zero, in place; those of PEFT adapters too."""
    for module in model.modules():
        # By name: adapters bring dropout layers that are no nn.Dropout.
        if "Dropout" in type(module).__name__ and isinstance(getattr(module, "p", None), float):
            module.p = 0.0  # type: ignore[assignment]
        for name in _RATES:
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)
        for name in _TABLES:
            table: Any = getattr(module, name, None)
            if isinstance(table, dict):
                table.update(dict.fromkeys(table, 0.0))
