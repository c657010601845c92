"""PEFT adapters on a language model: put on from a configuration, and loaded from a folder.

A configuration is PEFT's own, as in ``adapter_config.json``: ``peft_type`` and the options of its
class. The base's weights are frozen and shared: with adapters off it is its own reference and
feature network.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ebmlm.errors import UserError

if TYPE_CHECKING:
    from peft import PeftConfig

__all__ = [
    "attach",
    "base_name",
    "is_adapter",
    "load_adapter",
    "parse_peft_config",
    "write_base_name",
]

_FILE = "adapter_config.json"
_NAME = "_ebmlm_base_name"

# Ranks are re-allocated by calls between steps, which transformers' trainer does not make.
_SCHEDULED = ("ADALORA",)


def parse_peft_config(given: Mapping[str, Any] | PeftConfig) -> PeftConfig:
    """Return PEFT's own configuration object.

    Args:
        given: such an object, or a mapping with ``peft_type`` and the options of its class;
            ``task_type`` is CAUSAL_LM unless given.

    Raises:
        UserError: if peft is not installed, for a type or an option that does not exist, one that
            is out of range, or a type that changes more than the base's layers.
    """
    mapping, base = _peft()
    config: Any = given
    if not isinstance(config, base):
        config = _parsed(dict(config), mapping)
    kind = str(getattr(config.peft_type, "value", config.peft_type))
    if config.is_prompt_learning:
        raise UserError(
            f"peft_type {kind} puts tokens of its own before a text: a tree of rollouts has no"
            " place for them; use adapters in the layers, such as LORA"
        )
    if kind in _SCHEDULED:
        raise UserError(
            f"peft_type {kind} needs to be told of every step, which the trainer does not do: use"
            " LORA"
        )
    parsed: PeftConfig = config
    return parsed


def attach(
    model: Any, config: Mapping[str, Any] | PeftConfig, *, name: str | None = None, seed: int = 0
) -> Any:
    """Put adapters on a model and freeze the rest; the model's layers are changed in place.

    Adapters are kept in float32 whatever type the base has. torch's own generator is left as it
    was.

    Args:
        model: a causal language model of transformers.
        config: see :func:`parse_peft_config`.
        name: of the base, which a saved adapter refers to; the folder it was loaded from by
            default.
        seed: of the adapters' first weights.

    Raises:
        UserError: as :func:`parse_peft_config` does, and where the model has no such modules.
    """
    from peft import get_peft_model

    parsed = parse_peft_config(config)
    parsed.base_model_name_or_path = None
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            adapted = get_peft_model(model, parsed)
    except (ValueError, RuntimeError, TypeError, AttributeError) as error:
        raise UserError(f"peft_config does not fit this model: {_line(error)}") from error
    return _named(adapted, model.name_or_path if name is None else name)


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds adapters and no model of its own."""
    return (folder / _FILE).is_file() and not (folder / "config.json").is_file()


def base_name(folder: Path) -> str:
    """Return the name of the model that a folder's adapters are for.

    Raises:
        UserError: where it does not say.
    """
    try:
        name = json.loads((folder / _FILE).read_text("utf-8")).get("base_model_name_or_path")
    except (OSError, ValueError) as error:
        raise UserError(f"{folder / _FILE} cannot be read: {_line(error)}") from error
    if not name:
        raise UserError(
            f"{folder / _FILE} does not say which model it is for: set base_model_name_or_path to a"
            " packaged name, a folder or a hub id"
        )
    return str(name)


def load_adapter(model: Any, folder: Path) -> Any:
    """Put a folder's adapters on the model that they are for; they can be trained further.

    Raises:
        UserError: if peft is not installed, or folder and model do not fit.
    """
    _peft()
    from peft import PeftModel

    if not (folder / "adapter_model.safetensors").is_file():
        raise UserError(
            f"{folder} has no adapter_model.safetensors: adapters are read from safetensors files"
            " only"
        )
    name = base_name(folder)
    try:
        adapted = PeftModel.from_pretrained(model, str(folder), is_trainable=True)
    except Exception as error:  # configuration and weights, each its own type
        raise UserError(f"the adapters in {folder} do not fit {name}: {_line(error)}") from error
    for one in adapted.peft_config.values():
        parse_peft_config(one)
    return _named(adapted, name)


def write_base_name(model: Any, folder: Path) -> None:
    """Write into saved adapters the name by which their base was asked for; nothing for others."""
    name = getattr(model, _NAME, None)
    if name is None or not (folder / _FILE).is_file():
        return
    content = json.loads((folder / _FILE).read_text("utf-8"))
    partial = folder / f"{_FILE}.partial"
    partial.write_text(json.dumps({**content, "base_model_name_or_path": name}, indent=2) + "\n")
    partial.replace(folder / _FILE)


def _named(adapted: Any, name: str) -> Any:
    # In the configuration itself PEFT would look the name up on the hub, each time it saves.
    for one in adapted.peft_config.values():
        one.base_model_name_or_path = adapted.get_base_model().name_or_path
    setattr(adapted, _NAME, name)
    return adapted


def _peft() -> tuple[Mapping[str, Any], type[Any]]:
    try:
        from peft import PEFT_TYPE_TO_CONFIG_MAPPING, PeftConfig
    except ImportError as error:
        raise UserError("adapters need the peft package: pip install 'ebmlm[peft]'") from error
    # By its plain name: the keys are members of an enumeration, or texts.
    return {
        str(getattr(kind, "value", kind)): config
        for kind, config in PEFT_TYPE_TO_CONFIG_MAPPING.items()
    }, PeftConfig


def _parsed(options: dict[str, Any], mapping: Mapping[str, Any]) -> PeftConfig:
    kind = options.pop("peft_type", None)
    if kind is None:
        raise UserError(
            "peft_config has no peft_type: say which adapters, as PEFT's adapter_config.json does,"
            " for instance peft_type: LORA"
        )
    kind = str(kind)
    if kind not in mapping:
        near = get_close_matches(kind.upper(), mapping, n=1)
        hint = f"; did you mean {near[0]}?" if near else f": one of {', '.join(sorted(mapping))}"
        raise UserError(f"peft_type {kind} does not exist{hint}")
    known = {spec.name for spec in dataclasses.fields(mapping[kind]) if spec.init}
    for name in options:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise UserError(f"peft_config.{name}: {kind} has no such option{hint}")
    try:
        config: PeftConfig = mapping[kind](**{"task_type": "CAUSAL_LM", **options})
    except (ValueError, TypeError) as error:
        raise UserError(f"peft_config: {_line(error)}") from error
    return config


def _line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
