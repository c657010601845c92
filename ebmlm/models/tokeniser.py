"""Tokenisers that cut text the way the model was trained on, whatever class loads them.

A tokeniser has two halves: a vocabulary with merges, and a pipeline that cuts the text before any
merge. The second is easily lost on the way, and nothing fails then: the ids decode to the same
text, they are just not the ids that the model has learnt.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase

__all__ = ["load_tokeniser", "split_digits"]


def split_digits(tokeniser: PreTrainedTokenizerBase) -> None:
    r"""Cut every digit off before the byte-level split, in place, as SmolLM2 was trained.

    A GGUF file only names its pre-tokeniser (``tokenizer.ggml.pre`` is ``smollm``), and
    transformers reads that name for no model: it builds the plain byte-level one of GPT-2. The
    two differ where white space stands before a digit (``"\n    1"`` would be ``"\n   "``,
    ``" "``, ``"1"``), as in a third of the standard library's source files.
    """
    from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence

    tokeniser.backend_tokenizer.pre_tokenizer = Sequence(
        [Digits(individual_digits=True), ByteLevel(add_prefix_space=False)]
    )


def load_tokeniser(folder: Path) -> PreTrainedTokenizerBase:
    """Load the tokeniser of a model folder, with the pipeline that its tokenizer.json states.

    Raises:
        OSError, ValueError: what transformers raises for a folder without a usable tokeniser.
    """
    from tokenizers import Tokenizer
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    # trust_remote_code: unless it is False, transformers asks whether to run the folder's code.
    tokeniser = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    stated = folder / "tokenizer.json"
    if stated.is_file() and getattr(tokeniser, "is_fast", False):
        # Classes such as GPT2Tokenizer rebuild the pipeline and ignore the stated one since
        # transformers 5 (huggingface/transformers issues 45812 and 45920); SmolLM2's repository
        # on the hub is among those affected. The generic class reads the file as it stands.
        pipeline = _pipeline(Tokenizer.from_file(str(stated)))
        if _pipeline(tokeniser.backend_tokenizer) != pipeline:
            tokeniser = PreTrainedTokenizerFast.from_pretrained(folder)
    return tokeniser


def _pipeline(tokenizer: Tokenizer) -> list[Any]:
    """What is done to the text before any merge."""
    parts = (tokenizer.normalizer, tokenizer.pre_tokenizer)
    return [None if part is None else json.loads(part.__getstate__()) for part in parts]
