"""Quantised bases: weights of four or eight bits, for adapters to be trained on."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from importlib.util import find_spec
from inspect import signature
from typing import Any

from ebmlm.errors import UserError

__all__ = ["keep_gradients", "parse_quantization_config"]


def parse_quantization_config(given: Mapping[str, Any] | None) -> Any:
    """Return transformers' ``BitsAndBytesConfig`` for a mapping in its own format, or None.

    Args:
        given: ``load_in_4bit`` or ``load_in_8bit``, and further options of that class.

    Raises:
        UserError: if bitsandbytes is not installed, for an option that does not exist, or none of
            the two.
    """
    if given is None:
        return None
    if find_spec("bitsandbytes") is None:
        raise UserError(
            "a quantised base needs the bitsandbytes package: pip install 'ebmlm[quantised]'"
        )
    from transformers import BitsAndBytesConfig

    options = {name: value for name, value in given.items() if name != "quant_method"}
    known = set(signature(BitsAndBytesConfig.__init__).parameters) - {"self", "kwargs"}
    for name in options:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise UserError(f"quantization_config.{name}: there is no such option{hint}")
    if not (options.get("load_in_4bit") or options.get("load_in_8bit")):
        raise UserError(
            "quantization_config says neither load_in_4bit: true nor load_in_8bit: true: nothing"
            " would be quantised"
        )
    try:
        return BitsAndBytesConfig(**options)
    except (ValueError, TypeError) as error:
        raise UserError(f"quantization_config: {error}") from error


def keep_gradients(model: Any) -> None:
    """Keep bitsandbytes from packing four-bit weights for inference on a CPU, in place.

    It packs them in the first pass in evaluation mode; a packed weight has no backward pass, and
    gradients through it would be wrong without a word. Nothing happens for other models.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
