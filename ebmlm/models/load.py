"""Loading a causal language model and its tokeniser by name."""

from __future__ import annotations

import os
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ebmlm.errors import UserError
from ebmlm.models.adapter_folders import adapter_base, holds_adapter, load_adapter
from ebmlm.models.hub import hub_snapshot
from ebmlm.models.packaged import PACKAGED_MODELS
from ebmlm.models.quantised import pin
from ebmlm.models.resolve import resolve
from ebmlm.models.tokeniser import load_tokeniser

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import BitsAndBytesConfig, PreTrainedModel, PreTrainedTokenizerBase

__all__ = ["load_pretrained", "recorded_name"]


def load_pretrained(
    name: str | Path,
    dtype: torch.dtype = torch.float32,
    *,
    base_dtype: torch.dtype | None = None,
    quantised: BitsAndBytesConfig | None = None,
    device: torch.device | str = "cpu",
) -> tuple[PreTrainedModel | PeftModel, PreTrainedTokenizerBase]:
    """Load a causal language model and its tokeniser, in evaluation mode.

    Weights are read from safetensors files only, and no code that comes with a model is run. A
    tokeniser without a padding token pads with its end-of-sequence token. A folder that holds an
    adapter gives a PEFT model around the base that it names, with the adapter ready to train.

    Args:
        name: a packaged name, the path of a model or adapter folder, or a hub id; see `resolve`.
        dtype: the parameters' type.
        base_dtype: that of the base, where ``name`` is an adapter; by default ``dtype``.
        quantised: how the weights of linear layers are held, where not in that type.
        device: where the model is to be.

    Raises:
        UserError: if the model cannot be found, read or completed from its files.
    """
    folder = _folder(name)
    if not holds_adapter(folder):
        tokeniser = _tokeniser(name, folder)
        return _model(name, folder, dtype, quantised, device), tokeniser
    base = adapter_base(folder)
    try:
        base_folder = _folder(base)
    except UserError as error:
        raise UserError(
            f"the base of the adapter in '{name}' (base_model_name_or_path in its"
            f" adapter_config.json) cannot be found: {error}"
        ) from error
    if holds_adapter(base_folder):
        raise UserError(
            f"the base of the adapter in '{name}' is '{base}', which is an adapter too: merge that"
            " one into its model first (merge_and_unload, then save_pretrained)"
        )
    own = any((folder / file).is_file() for file in ("tokenizer.json", "tokenizer_config.json"))
    tokeniser = _tokeniser(name, folder if own else base_folder)
    model = _model(base, base_folder, base_dtype or dtype, quantised, device)
    return load_adapter(model, folder), tokeniser


def _folder(name: str | Path) -> Path:
    resolved = resolve(name)
    return resolved if isinstance(resolved, Path) else _from_hub(resolved)


def _from_hub(hub_id: str) -> Path:
    try:
        return hub_snapshot(hub_id)
    except UserError as error:
        # Only now: a hub id that exists must never be taken for a misspelt packaged name.
        near = get_close_matches(hub_id.rsplit("/")[-1].lower(), PACKAGED_MODELS, n=1)
        if not near:
            raise
        raise UserError(f"{error}. Did you mean the packaged model '{near[0]}'?") from error


def _tokeniser(name: str | Path, folder: Path) -> PreTrainedTokenizerBase:
    try:
        tokeniser = load_tokeniser(folder)
    except Exception as error:  # every tokeniser class fails in its own way
        raise UserError(f"cannot load the tokeniser of '{name}': {_line(error)}") from error
    if tokeniser.eos_token is None:
        raise UserError(
            f"the tokeniser of '{name}' has no end-of-sequence token, where a completion stops: set"
            " its eos_token and save it again"
        )
    if tokeniser.pad_token is None:
        tokeniser.pad_token = tokeniser.eos_token
    return tokeniser


def _model(
    name: str | Path,
    folder: Path,
    dtype: torch.dtype,
    quantised: BitsAndBytesConfig | None,
    device: torch.device | str,
) -> PreTrainedModel:
    from transformers import AutoModelForCausalLM

    auto: Any = AutoModelForCausalLM
    model: Any
    try:
        model, report = auto.from_pretrained(
            folder,
            dtype=dtype,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
            **({} if quantised is None else _quantised_on(quantised, device)),
        )
    except Exception as error:  # configuration, weights and missing packages, each its own type
        raise UserError(f"cannot load '{name}': {_line(error)}") from error
    # transformers draws them at random, with a warning, and goes on.
    missing = sorted(report["missing_keys"])
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise UserError(
            f"the weights of '{name}' lack {missing[0]}{more}: it is not a complete"
            f" {type(model).__name__}; give a model trained for causal language modelling"
        )
    if quantised is None:
        model.to(device)
    else:
        pin(model)
    model.name_or_path = recorded_name(name)
    return model


def _quantised_on(quantised: BitsAndBytesConfig, device: torch.device | str) -> dict[str, Any]:
    return {"quantization_config": quantised, "device_map": {"": torch.device(device)}}


def recorded_name(name: str | Path) -> str:
    """What the folder of an adapter says of its base: a name that finds it from anywhere."""
    if name in PACKAGED_MODELS:
        return str(name)
    folder = Path(os.path.expanduser(name))
    return str(folder.absolute()) if folder.is_dir() else str(name)


def _line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{lines[0] if lines else 'no reason given'} ({type(error).__name__})"
