"""Tiny models and tokenisers in folders, and a machine without package index or hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

# Ġ is how a byte-level vocabulary spells a space.
MERGES = [("Ġ", "Ġ"), ("a", "b")]
SPECIAL = ["<unk>", "<start>", "<end>"]


def tiny_vocabulary() -> list[str]:
    """Three special tokens, the 256 bytes and the two merges."""
    return [*SPECIAL, *sorted(ByteLevel.alphabet()), *("".join(pair) for pair in MERGES)]


def tiny_tokeniser(**special: str) -> PreTrainedTokenizerFast:
    """A byte-level tokeniser that cuts digits off first, as SmolLM2's does."""
    vocabulary = {token: index for index, token in enumerate(tiny_vocabulary())}
    tokenizer = Tokenizer(BPE(vocab=vocabulary, merges=MERGES))
    tokenizer.pre_tokenizer = Sequence(
        [Digits(individual_digits=True), ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = ByteLevelDecoder()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)


def tiny_config(**changes: Any) -> LlamaConfig:
    """A Llama of two layers that fits the tiny tokeniser."""
    settings: dict[str, Any] = {
        "vocab_size": len(tiny_vocabulary()),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 64,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "tie_word_embeddings": True,
    }
    return LlamaConfig(**(settings | changes))


def tiny_model(**changes: Any) -> LlamaForCausalLM:
    """A random Llama, the same each time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return LlamaForCausalLM(tiny_config(**changes)).eval()


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    """A complete model folder; its tokeniser has no padding token."""
    folder = tmp_path / "tiny"
    tiny_model().save_pretrained(folder)
    tiny_tokeniser(bos_token="<start>", eos_token="<end>").save_pretrained(folder)
    return folder


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("EBMLM_CACHE", str(folder))
    return folder


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hub that cannot be reached, and nothing in its cache."""
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    def unreachable(*args: object, **kwargs: object) -> None:
        raise OSError("no route to the hub\nsecond line")

    def absent(*args: object, **kwargs: object) -> None:
        raise LocalEntryNotFoundError("not in the cache")

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", unreachable)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", absent)
