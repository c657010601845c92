"""Folders that hold an adapter alone, and say which model it belongs to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ebmlm.errors import UserError
from ebmlm.models.adapters import adapter_config, attach, require_peft

if TYPE_CHECKING:
    from peft import PeftModel

__all__ = ["adapter_base", "holds_adapter", "load_adapter"]

_CONFIG = "adapter_config.json"
_WEIGHTS = "adapter_model.safetensors"


def holds_adapter(folder: Path) -> bool:
    """Whether a folder was written by ``save_pretrained`` of a PEFT model."""
    return (folder / _CONFIG).is_file()


def adapter_base(folder: Path) -> str:
    """Return the recorded name of the model that the adapter in ``folder`` was trained on.

    Raises:
        UserError: if it cannot be read, or none is recorded.
    """
    path = folder / _CONFIG
    try:
        base = json.loads(path.read_text(encoding="utf-8")).get("base_model_name_or_path")
    except (OSError, ValueError, AttributeError) as error:
        raise UserError(f"{path} cannot be read ({error}): it is no adapter's file") from error
    if not base:
        raise UserError(
            f"{path} does not say which model the adapter belongs to: set its"
            " base_model_name_or_path to a packaged name, a folder or a hub id"
        )
    return str(base)


def load_adapter(model: Any, folder: Path) -> PeftModel:
    """Put the adapter in ``folder`` into its base ``model``, in place, ready to go on training.

    Args:
        model: the base.
        folder: with adapter_config.json and adapter_model.safetensors.

    Raises:
        UserError: if PEFT is not installed, or the adapter is incomplete, of a type that does not
            work here, or does not fit the model.
    """
    require_peft()
    from peft import PeftConfig

    if not (folder / _WEIGHTS).is_file():
        raise UserError(f"{folder} has {_CONFIG} and no {_WEIGHTS}: give a folder with both")
    try:
        config = adapter_config(PeftConfig.from_pretrained(str(folder)))
        adapted = attach(model, config)
        found = adapted.load_adapter(
            str(folder), adapted.active_adapter, is_trainable=True, torch_device=str(model.device)
        )
    except UserError as error:
        raise UserError(f"the adapter in {folder}: {error}") from error
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        line = " ".join(str(error).split())[:300]
        raise UserError(f"the adapter in {folder} does not fit its base: {line}") from error
    for kind in ("missing", "unexpected"):
        if keys := list(getattr(found, f"{kind}_keys")):
            raise UserError(
                f"the adapter in {folder} does not fit its base: {kind} weight {keys[0]}"
                + (f" and {len(keys) - 1} more" if len(keys) > 1 else "")
            )
    return adapted
