"""A tokeniser that needs no download: one token a byte, and an end-of-sequence token."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast


def byte_tokenizer(end: bool = True) -> PreTrainedTokenizerFast:
    """Return a tokeniser of 256 byte tokens; ``</s>`` is 256 where ``end``."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: number for number, letter in enumerate(alphabet)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = {"eos_token": "</s>"} if end else {}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=16, **special)


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    return byte_tokenizer()


@pytest.fixture(scope="session")
def endless_tokenizer() -> PreTrainedTokenizerFast:
    return byte_tokenizer(end=False)
