"""PEFT adapters around a causal language model: which, where, and from what start.

A policy with adapters is its own reference, with the adapters off. So only adapters that leave the
base's weights and its forward pass alone are taken; that is tried, whatever their type.
"""

from __future__ import annotations

import copy
import dataclasses
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ebmlm.adapted import adapters_off, is_adapted
from ebmlm.data.suggestions import nearest
from ebmlm.errors import UserError
from ebmlm.models.notice import notify

if TYPE_CHECKING:
    from peft import PeftConfig, PeftModel

__all__ = ["adapter_config", "attach", "require_peft"]

# In adapter_config.json, but about the adapter that was saved and not about one to be made.
_OF_A_SAVED_ADAPTER = ("base_model_name_or_path", "revision", "inference_mode", "auto_mapping")
# Beside prompt learning.
_OTHER_FORWARD = ("ADAPTION_PROMPT", "POLY", "SHADOW", "XLORA")
_NAMES_OF_MODULES = ("target_modules", "modules_to_save", "feedforward_modules")
# Largest change of a probe's logits, relative to the largest of them, that is rounding.
_TOLERANCE = 1e-3


def require_peft() -> None:
    """Refuse to go on without PEFT.

    Raises:
        UserError: saying how to install it.
    """
    try:
        import peft  # noqa: F401
    except ModuleNotFoundError as error:
        raise UserError(
            "adapters need PEFT, which is not installed: pip install 'ebmlm[peft]'"
        ) from error


def adapter_config(given: Mapping[str, Any] | PeftConfig, *, quiet: bool = False) -> PeftConfig:
    """Make PEFT's configuration of an adapter to be trained, without dropout.

    Args:
        given: what an adapter_config.json holds: ``peft_type`` and options in PEFT's own names; or
            a configuration, which is copied.
        quiet: do not say that a dropout is switched off.

    Raises:
        UserError: if PEFT is not installed; for a type or option that it does not have, with the
            nearest name; for prompt learning, and other types that change the base's forward pass.
    """
    require_peft()
    from peft import PeftConfig

    if isinstance(given, PeftConfig):
        config = copy.deepcopy(given)
        _check_kind(type(config), getattr(config.peft_type, "value", config.peft_type))
    else:
        config = _from_mapping(given)
    task = getattr(config.task_type, "value", config.task_type)
    if task not in (None, "CAUSAL_LM"):
        raise UserError(f"peft_config.task_type is {task!r}: a policy is a CAUSAL_LM")
    config.task_type = "CAUSAL_LM"
    config.inference_mode = False
    config.base_model_name_or_path = None
    for name, rate in _dropout_rates(config):
        # As for the base's own: a rollout must be scored as it was drawn.
        if not quiet:
            notify(f"peft_config.{name} is {rate}: dropout is off in a policy, so 0 is used")
        setattr(config, name, 0.0)
    return config


def _dropout_rates(config: PeftConfig) -> list[tuple[str, float]]:
    values = [(spec.name, getattr(config, spec.name)) for spec in dataclasses.fields(config)]
    return [
        (name, value)
        for name, value in values
        if "dropout" in name and isinstance(value, (int, float)) and value is not True and value
    ]


def _from_mapping(given: Mapping[str, Any]) -> PeftConfig:
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

    known = {
        getattr(kind, "value", kind): made for kind, made in PEFT_TYPE_TO_CONFIG_MAPPING.items()
    }
    if not isinstance(given, Mapping) or not given.get("peft_type"):
        raise UserError(
            "peft_config names no peft_type: say which adapter, for example"
            " {peft_type: LORA, r: 16, lora_alpha: 32, target_modules: all-linear}"
        )
    kind = str(given["peft_type"]).upper()
    if kind not in known:
        raise UserError(
            f"peft_config.peft_type is {given['peft_type']!r}: PEFT has no such type"
            f"{nearest(kind, known) or '; it has ' + ', '.join(sorted(known))}"
        )
    _check_kind(known[kind], kind)
    options = {
        name: value
        for name, value in given.items()
        if name != "peft_type" and name not in _OF_A_SAVED_ADAPTER
    }
    names = {spec.name for spec in dataclasses.fields(known[kind]) if spec.init}
    for name in options:
        if name not in names:
            raise UserError(f"peft_config.{name}: {kind} has no such option{nearest(name, names)}")
    try:
        return known[kind](**options)
    except (TypeError, ValueError) as error:
        raise UserError(f"peft_config: {_line(error)}") from error


def _check_kind(made: type, kind: str | None) -> None:
    from peft import PromptLearningConfig

    if issubclass(made, PromptLearningConfig) or kind in _OTHER_FORWARD:
        raise UserError(
            f"peft_config.peft_type is {kind!r}, which feeds or steers the base otherwise (virtual"
            " tokens, gates, tasks): rollouts are scored through the base's own forward pass; use a"
            " type that adapts its layers, such as LORA, IA3 or LOHA"
        )


def attach(model: Any, config: PeftConfig, seed: int = 0) -> PeftModel:
    """Put new adapters into ``model``, in place: they alone train, in float32 or wider.

    Args:
        model: a causal language model of transformers, in whatever type; it is left as it is.
        config: from :func:`adapter_config`.
        seed: of the adapters' initial weights; torch's own generator is left as it was.

    Raises:
        UserError: for modules that the model does not have, with those that it has; for adapters
            that PEFT cannot make, that change the base (PiSSA, OLoRA, LoftQ), or that train weights
            of the base itself (``bias`` other than none); for a model that has adapters already.
    """
    from peft import get_peft_model

    if is_adapted(model):
        raise UserError(
            "the model has an adapter already, which goes on training: leave peft_config out, or"
            " merge the adapter first (merge_and_unload, then save_pretrained)"
        )
    config = copy.deepcopy(config)
    kind = getattr(config.peft_type, "value", config.peft_type)
    _check_modules(model, config)
    before = _logits(model)
    own = {id(parameter) for parameter in model.parameters()}
    device = next(model.parameters()).device
    try:
        with torch.random.fork_rng(devices=[] if device.type == "cpu" else [device]):
            torch.manual_seed(seed)
            adapted: PeftModel = get_peft_model(model, config)
        with adapters_off(adapted):
            after = _logits(adapted.get_base_model())
        _logits(adapted)
    except (AttributeError, ImportError, IndexError, RuntimeError, TypeError, ValueError) as error:
        raise UserError(
            f"peft_config: {kind} does not fit this model: {_line(error)}; its linear layers are"
            f" called {', '.join(_linear(model))}"
        ) from error
    if not float((after - before).abs().max()) <= _TOLERANCE * float(before.abs().max()):
        raise UserError(
            f"peft_config: {kind} as configured changes the base, which with adapters off is the"
            " reference: use an initialisation that leaves it alone (init_lora_weights: true)"
        )
    trains = [(name, value) for name, value in adapted.named_parameters() if value.requires_grad]
    for name, parameter in trains:
        if id(parameter) in own:
            raise UserError(
                f"peft_config: {kind} as configured trains {name}, a weight of the base, which"
                " would not be off with the adapters: set bias to none"
            )
        if parameter.dtype in (torch.float16, torch.bfloat16):
            parameter.data = parameter.data.float()
    if not trains:
        raise UserError(f"peft_config: {kind} as configured has nothing that trains")
    return adapted


@torch.no_grad()
def _logits(model: Any) -> Tensor:
    """Logits of a few tokens, in a plain pass."""
    tokens = torch.arange(8, device=model.device).mul(7).add(3)
    tokens = tokens.remainder(model.config.get_text_config().vocab_size).unsqueeze(0)
    device = model.device.type
    # Adapters in float32 over a base in bfloat16 are meant for such a region.
    half = model.dtype is torch.bfloat16
    with torch.autocast(device, torch.bfloat16, enabled=half, cache_enabled=False):
        logits: Tensor = model(input_ids=tokens, use_cache=False).logits.float()
    return logits


def _check_modules(model: nn.Module, config: PeftConfig) -> None:
    for option in _NAMES_OF_MODULES:
        wanted = getattr(config, option, None)
        if wanted is None or wanted == "all-linear":
            continue
        modules = [name for name, _ in model.named_modules()]
        if isinstance(wanted, str):
            missing = [] if any(re.fullmatch(wanted, name) for name in modules) else [wanted]
        else:
            missing = [
                each
                for each in sorted(wanted)
                if not any(name == each or name.endswith(f".{each}") for name in modules)
            ]
        if missing:
            ends = {name.rsplit(".")[-1] for name in modules}
            raise UserError(
                f"peft_config.{option}: the model has no module {missing[0]!r}"
                f"{nearest(missing[0], ends)}; its linear layers are called"
                f" {', '.join(_linear(model))}; all-linear takes all of them but the head"
            )


def _linear(model: nn.Module) -> list[str]:
    return sorted(set(_linear_names(model)))


def _linear_names(model: nn.Module) -> Iterator[str]:
    for name, module in model.named_modules():
        # Conv1D is what GPT-2 has in their place.
        if isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D":
            yield name.rsplit(".")[-1]


def _line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__).rstrip(".")
