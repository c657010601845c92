"""PEFT models as policies: their base is reached by switching the adapters off."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from torch import nn

from ebmlm.errors import UserError

__all__ = [
    "adapters_off",
    "base_name",
    "check_unmerged",
    "has_float_buffers",
    "is_adapted",
    "save_adapters_alone",
]


def is_adapted(model: nn.Module) -> bool:
    """Whether ``model`` is a PEFT model, whose adapters can be switched off."""
    return hasattr(model, "disable_adapter")


def base_name(model: Any) -> str | None:
    """The recorded name of a PEFT model's base, or None for a plain model."""
    if not is_adapted(model):
        return None
    name: str | None = model.peft_config[model.active_adapter].base_model_name_or_path
    return name


@contextmanager
def adapters_off(model: Any) -> Iterator[None]:
    """Run the passes made inside as the base: adapters, and modules that train whole, are off.

    PEFT lets every active adapter train when it switches them on again; here what was fixed before
    is fixed afterwards. Not to be nested: the inner block would switch the adapters on.
    """
    trains = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    try:
        with model.disable_adapter():
            yield
    finally:
        for parameter, before in trains:
            if parameter.requires_grad != before:
                parameter.requires_grad_(before)


def check_unmerged(model: nn.Module) -> None:
    """Refuse adapters that are added into the base's weights.

    There, nothing of them would train, and switching them off would take them out of the weights
    for good.

    Raises:
        UserError: naming what to call.
    """
    for name, module in model.named_modules():
        if getattr(module, "merged", False) is True:
            raise UserError(
                f"the adapter at {name} is merged into its base: call unmerge_adapter() to train"
                " it, or merge_and_unload() for a plain model"
            )


def has_float_buffers(model: nn.Module) -> bool:
    """Whether adapters of ``model`` compute with floating-point buffers, as VeRA's do."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    return any(
        buffer.is_floating_point()
        for module in model.modules()
        if isinstance(module, BaseTunerLayer)
        for buffer in module.buffers()
    )


def save_adapters_alone(model: Any) -> None:
    """Have ``save_pretrained`` of a PEFT model write its adapters and nothing of the base.

    By default PEFT looks the base's name up on the hub, to see whether its vocabulary has grown.
    """
    model.save_pretrained = partial(model.save_pretrained, save_embedding_layers=False)
