"""Bases in 4 or 8 bits, by bitsandbytes, for adapters to be trained on."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ebmlm.data.suggestions import nearest
from ebmlm.errors import UserError

if TYPE_CHECKING:
    from transformers import BitsAndBytesConfig

__all__ = ["pin", "quantisation"]


def quantisation(given: Mapping[str, Any], dtype: torch.dtype) -> BitsAndBytesConfig:
    """Make transformers' quantisation configuration.

    Args:
        given: options in transformers' own names: ``load_in_4bit``, ``bnb_4bit_quant_type``, ...
        dtype: that the run computes in, where ``given`` does not say (bnb_4bit_compute_dtype).

    Raises:
        UserError: if bitsandbytes is not installed, for an option that does not exist, with the
            nearest, or for options that do not go together.
    """
    from transformers import BitsAndBytesConfig

    try:
        import bitsandbytes  # noqa: F401
    except ImportError as error:
        raise UserError(
            "quantization_config needs bitsandbytes, which is not installed:"
            " pip install 'ebmlm[quantised]'"
        ) from error
    options = dict(given)
    if (method := options.pop("quant_method", "bitsandbytes")) != "bitsandbytes":
        raise UserError(
            f"quantization_config.quant_method is {method!r}: only bitsandbytes is known here"
        )
    names = set(inspect.signature(BitsAndBytesConfig.__init__).parameters) - {"self", "kwargs"}
    for name in options:
        if name not in names:
            raise UserError(f"quantization_config.{name}: no such option{nearest(name, names)}")
    if bool(options.get("load_in_4bit")) == bool(options.get("load_in_8bit")):
        raise UserError(
            "quantization_config asks for neither or both of load_in_4bit and load_in_8bit: set one"
            " of them to true"
        )
    options.setdefault("bnb_4bit_compute_dtype", dtype)
    try:
        return BitsAndBytesConfig(**options)
    except (AttributeError, TypeError, ValueError) as error:
        raise UserError(f"quantization_config: {' '.join(str(error).split())}") from error


def pin(model: nn.Module) -> None:
    """Have quantised layers compute in one way, in place, whatever ``train`` and ``eval`` say.

    In evaluation mode on a CPU bitsandbytes computes otherwise: 4-bit layers repack their weights
    for good, into a form that has no gradient, and 8-bit layers round activations too. Rollouts
    would be drawn from one model and scored by another.
    """
    for module in model.modules():
        if type(module).__module__.startswith("bitsandbytes."):
            module.train()
            module.train = _stay(module)  # type: ignore[method-assign]
    # Everything is on one device; PEFT would dispatch it again when it loads an adapter.
    model.__dict__.pop("hf_device_map", None)


def _stay(module: nn.Module) -> Any:
    def train(mode: bool = True) -> nn.Module:
        return module

    return train
