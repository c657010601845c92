"""Loading a causal language model and its tokeniser by name."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ebmlm.errors import UserError
from ebmlm.models.adapters import base_name, is_adapter, load_adapter
from ebmlm.models.hub import hub_snapshot
from ebmlm.models.packaged import PACKAGED_MODELS
from ebmlm.models.quantised import keep_gradients, parse_quantization_config
from ebmlm.models.resolve import resolve
from ebmlm.models.tokeniser import load_tokeniser

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

__all__ = ["load_pretrained"]


def load_pretrained(
    name: str | Path,
    dtype: torch.dtype = torch.float32,
    quantization_config: Mapping[str, Any] | None = None,
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a causal language model and its tokeniser, in evaluation mode, on the CPU.

    Weights are read from safetensors files only, and no code that comes with a model is run. A
    tokeniser without a padding token pads with its end-of-sequence token. A folder of PEFT adapters
    is loaded with the model that it says it is for.

    Args:
        name: a packaged name, the path of a model folder or a hub id; see `resolve`.
        dtype: the parameters' type; adapters stay in float32.
        quantization_config: in transformers' own format, for weights of four or eight bits; see
            :mod:`ebmlm.models.quantised`.

    Raises:
        UserError: if the model cannot be found, read or completed from its files.
    """
    quantised = parse_quantization_config(quantization_config)
    resolved = resolve(name)
    folder = resolved if isinstance(resolved, Path) else _from_hub(resolved)
    if is_adapter(folder):
        base, tokeniser = load_pretrained(base_name(folder), dtype, quantization_config)
        return load_adapter(base, folder), tokeniser
    tokeniser = _tokeniser(name, folder)
    return _model(name, folder, dtype, quantised), tokeniser


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


def _model(name: str | Path, folder: Path, dtype: torch.dtype, quantised: Any) -> PreTrainedModel:
    from transformers import AutoModelForCausalLM

    auto: Any = AutoModelForCausalLM
    model: PreTrainedModel
    try:
        model, report = auto.from_pretrained(
            folder,
            dtype=dtype,
            quantization_config=quantised,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
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
    keep_gradients(model)
    return model


def _line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{lines[0] if lines else 'no reason given'} ({type(error).__name__})"
