"""Models of the Hugging Face hub, as a local folder, without long waits when it is away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ebmlm.errors import UserError

__all__ = ["hub_snapshot"]

# The hub's client waits for ever for a silent host, and transformers retries for a minute.
_TIMEOUT_SECONDS = 5.0

_OPTIONS: dict[str, Any] = {
    # What transformers reads: no weights in formats that can run code, nothing in subfolders.
    "allow_patterns": ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja", "*.tiktoken"],
    # A folder of sentence-transformers says in another one how it pools.
    "ignore_patterns": ["[!1]*/*", "consolidated*.safetensors"],
    "etag_timeout": _TIMEOUT_SECONDS,
}


class _HubError(UserError):
    """The hub does not give a model."""


def hub_snapshot(hub_id: str) -> Path:
    """Download a model's files into the hub's own cache; without network, use what is there.

    Returns:
        The folder with the files.

    Raises:
        UserError: if there is no such model, it may not be read, or the hub cannot be reached
            and the model is not in the hub's cache.
    """
    try:
        _ask(hub_id)
    except _HubError:
        cached = _cached(hub_id)
        if cached is None:
            raise
        return cached
    return _download(hub_id)


def _ask(hub_id: str) -> None:
    """Ask whether the hub has the model, with a limit on the time that takes."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HFValidationError

    try:
        HfApi().model_info(hub_id, timeout=_TIMEOUT_SECONDS)
    except HFValidationError as error:
        raise UserError(f"'{hub_id}' is neither a folder nor a hub id: {_line(error)}") from error
    except Exception as error:  # its HTTP library's own errors come through
        raise _explain(hub_id, error) from error


def _cached(hub_id: str) -> Path | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(snapshot_download(hub_id, local_files_only=True, **_OPTIONS))
    except LocalEntryNotFoundError:
        return None


def _download(hub_id: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(hub_id, **_OPTIONS))
    except Exception as error:
        raise _explain(hub_id, error) from error


def _explain(hub_id: str, error: Exception) -> _HubError:
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    if isinstance(error, GatedRepoError):
        return _HubError(
            f"the hub's model '{hub_id}' is gated: accept its terms on its page there, then log in"
            " (hf auth login)"
        )
    if isinstance(error, RepositoryNotFoundError):
        return _HubError(
            f"the hub has no model '{hub_id}' that you may read: check the spelling, or log in if"
            " it is private (hf auth login)"
        )
    return _HubError(
        f"cannot get '{hub_id}' from the hub ({_line(error)}), and it is not in the hub's cache on"
        " this machine: check the network, or give a local folder"
    )


def _line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
