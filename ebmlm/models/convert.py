"""From a GGUF file to a plain transformers folder, once: later starts save the conversion.

A model that transformers loads from GGUF has its weights dequantised, yet refuses
``save_pretrained``, because its configuration still says that it is quantised.
"""

from __future__ import annotations

import copy
import errno
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ebmlm.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

__all__ = ["convert", "rebuild", "require_gguf"]


def require_gguf() -> None:
    """Check that GGUF files can be read.

    Raises:
        UserError: if the gguf package is not installed.
    """
    if find_spec("gguf") is None:
        raise UserError(
            "reading a packaged model needs the gguf package: pip install 'ebmlm[demo]'"
        )


def convert(
    file: Path, folder: Path, mend_tokeniser: Callable[[PreTrainedTokenizerBase], None]
) -> None:
    """Write the model and the tokeniser of a GGUF file to ``folder``.

    The weights are written as float32: a dequantised value is a float16 scale times an integer
    plus a float16 offset, which neither float16 nor bfloat16 can hold (of SmolLM2's they would
    round 48 % and 82 %).

    Args:
        file: the GGUF file.
        folder: where config.json, model.safetensors, tokenizer.json and so on go.
        mend_tokeniser: corrects the tokeniser, in place, before it is written.

    Raises:
        UserError: if the gguf package is not installed.
        OSError: if the disk is full.
    """
    require_gguf()
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokeniser = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    model = AutoModelForCausalLM.from_pretrained(
        file.parent, gguf_file=file.name, dtype=torch.float32
    )
    mend_tokeniser(tokeniser)
    tokeniser.model_max_length = model.config.max_position_embeddings
    try:
        rebuild(model).save_pretrained(folder)
    except SafetensorError as error:
        # It wraps the operating system's error, and drops the number.
        raise OSError(errno.ENOSPC, str(error), str(folder)) from error
    tokeniser.save_pretrained(folder)


def rebuild(model: PreTrainedModel) -> PreTrainedModel:
    """Copy a model with dequantised weights into one that does not call itself quantised.

    The global random state is left as it was.
    """
    from transformers import AutoModelForCausalLM

    auto: Any = AutoModelForCausalLM
    config = copy.deepcopy(model.config)
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    with torch.random.fork_rng(devices=[]):
        plain: PreTrainedModel = auto.from_config(config, dtype=model.dtype)
    plain.load_state_dict(model.state_dict())
    plain.tie_weights()
    plain.generation_config = copy.deepcopy(model.generation_config)
    plain.train(False)
    return plain
