"""Language models by name: packaged ones, local folders, and those of the Hugging Face hub."""

from __future__ import annotations

from ebmlm.models.adapters import adapter_config, attach
from ebmlm.models.cache import cache_folder, publish
from ebmlm.models.encoder import load_encoder
from ebmlm.models.load import load_pretrained
from ebmlm.models.packaged import PACKAGED_ENCODERS, PACKAGED_MODELS, PackagedModel, PackagedWheel
from ebmlm.models.resolve import resolve

__all__ = [
    "PACKAGED_ENCODERS",
    "PACKAGED_MODELS",
    "PackagedModel",
    "PackagedWheel",
    "adapter_config",
    "attach",
    "cache_folder",
    "load_encoder",
    "load_pretrained",
    "publish",
    "resolve",
]
