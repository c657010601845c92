"""Language models by name: packaged ones, local folders, and those of the Hugging Face hub."""

from __future__ import annotations

from ebmlm.models.adapters import adapter_config, attach
from ebmlm.models.cache import cache_folder, publish
from ebmlm.models.load import load_pretrained
from ebmlm.models.packaged import PACKAGED_MODELS, PackagedModel
from ebmlm.models.resolve import resolve

__all__ = [
    "PACKAGED_MODELS",
    "PackagedModel",
    "adapter_config",
    "attach",
    "cache_folder",
    "load_pretrained",
    "publish",
    "resolve",
]
