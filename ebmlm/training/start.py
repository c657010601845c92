"""The model that a run starts from, with or without adapters, in the run's precision."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ebmlm.adapted import is_adapted
from ebmlm.errors import UserError
from ebmlm.training.precision import Precision

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from ebmlm.transformers_model import TransformersLanguageModel

__all__ = [
    "check_start",
    "load_measured",
    "load_policy",
    "matched_network",
    "trainable_parameters",
    "weights_in_words",
]


def check_start(
    model: str, peft_config: Any, quantization_config: Mapping[str, Any] | None
) -> None:
    """Refuse adapters and quantisation that cannot be made, without loading anything.

    Args:
        model: see :func:`load_policy`.
        peft_config: see :func:`load_policy`.
        quantization_config: see :func:`load_policy`.

    Raises:
        UserError: for options that do not exist or do not go together, or a missing package.
    """
    if peft_config is not None:
        from ebmlm.models.adapters import adapter_config

        adapter_config(peft_config, quiet=True)
    if quantization_config is not None:
        from ebmlm.models import PACKAGED_MODELS
        from ebmlm.models.quantised import quantisation

        quantisation(quantization_config, torch.float32)
        folder = Path(model).expanduser()
        plain = model in PACKAGED_MODELS or (folder / "config.json").is_file()
        if peft_config is None and plain and not (folder / "adapter_config.json").is_file():
            raise _whole(model)


def load_policy(
    model: str,
    device: torch.device,
    *,
    precision: Precision = Precision.float32,
    peft_config: Any = None,
    quantization_config: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> tuple[TransformersLanguageModel, PreTrainedTokenizerBase]:
    """Load a model to train, and its tokeniser.

    Weights that train are float32. The base of adapters does not, and is held in the type that
    passes are computed in, which rounds it as each pass would.

    Args:
        model: a packaged name, a model folder, an adapter folder, or a hub id.
        device: where it is to be.
        precision: of the passes.
        peft_config: adapters to put in and train; None for training the whole model, or the
            adapter that ``model`` is.
        quantization_config: how the base's linear layers are held, in transformers' own options.
        seed: of the adapters' initial weights.

    Raises:
        UserError: if the model cannot be loaded, or the adapters do not fit it.
    """
    whole = peft_config is None
    loaded, tokeniser = _load(
        model,
        device,
        precision,
        quantization_config,
        torch.float32 if whole else _held(precision),
    )
    if not whole:
        from ebmlm.models.adapters import adapter_config, attach

        loaded = attach(loaded, adapter_config(peft_config), seed)
    if quantization_config is not None and not is_adapted(loaded):
        raise _whole(model)
    return _policy(loaded), tokeniser


def load_measured(
    model: str,
    device: torch.device,
    *,
    precision: Precision = Precision.float32,
    quantization_config: Mapping[str, Any] | None = None,
) -> tuple[TransformersLanguageModel, PreTrainedTokenizerBase]:
    """Load a model to measure, with or without an adapter, and its tokeniser.

    Args:
        model: see :func:`load_policy`.
        device: see :func:`load_policy`.
        precision: see :func:`load_policy`.
        quantization_config: how linear layers are held, those of the base beside an adapter.

    Raises:
        UserError: if the model cannot be loaded.
    """
    loaded, tokeniser = _load(model, device, precision, quantization_config, torch.float32)
    return _policy(loaded), tokeniser


def matched_network(
    name: str | None,
    model: str,
    policy: TransformersLanguageModel,
    precision: Precision = Precision.float32,
) -> TransformersLanguageModel:
    """Return whose hidden states held-out text is measured in, frozen.

    Args:
        name: of that network; None for the model that a run starts from.
        model: what the policy was loaded from.
        policy: that model.
        precision: of the passes.

    Raises:
        UserError: if it cannot be loaded, or has another number of tokens than the policy.
    """
    if name is None or name == model:
        return policy.frozen()
    network, _ = load_measured(name, policy.device, precision=precision)
    if network.vocabulary_size != policy.vocabulary_size:
        raise UserError(
            f"evaluation.network is {name!r}, with {network.vocabulary_size} tokens, and {model!r}"
            f" has {policy.vocabulary_size}: it must read the same tokens; name a model with the"
            " same tokeniser, or features that read text"
        )
    return network.frozen()


def _held(precision: Precision) -> torch.dtype:
    return torch.bfloat16 if precision.uses_bfloat16() else torch.float32


def _load(
    model: str,
    device: torch.device,
    precision: Precision,
    quantization_config: Mapping[str, Any] | None,
    dtype: torch.dtype,
) -> tuple[Any, PreTrainedTokenizerBase]:
    from ebmlm.models import load_pretrained

    held, quantised = _held(precision), None
    if quantization_config is not None:
        from ebmlm.models.quantised import quantisation

        dtype, quantised = held, quantisation(quantization_config, held)
    return load_pretrained(model, dtype, base_dtype=held, quantised=quantised, device=device)


def _policy(model: Any) -> TransformersLanguageModel:
    from ebmlm.transformers_model import TransformersLanguageModel

    return TransformersLanguageModel(model)


def trainable_parameters(model: Any) -> int:
    """Count the parameters that train."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def weights_in_words(model: Any) -> str:
    """Say how many weights there are, in what type, and which of them train."""
    if not is_adapted(model):
        size = sum(parameter.numel() for parameter in model.parameters())
        return f"{size / 1e6:.0f}M parameters in float32"
    trains, size = model.get_nb_trainable_parameters()
    kind = model.peft_config[model.active_adapter].peft_type
    base = model.get_base_model()
    held = str(base.dtype).removeprefix("torch.")
    if quantised := getattr(base.config, "quantization_config", None):
        held = f"{4 if quantised.load_in_4bit else 8} bits, the rest in {held}"
    return (
        f"{trains / 1e6:.2f}M parameters of a {getattr(kind, 'value', kind)} adapter in float32"
        f" train, over a base of {(size - trains) / 1e6:.0f}M in {held}"
    )


def _whole(model: str) -> UserError:
    return UserError(
        f"quantization_config without peft_config: the weights of '{model}' would not train once"
        " they are quantised; add a peft_config, whose adapters do"
    )
