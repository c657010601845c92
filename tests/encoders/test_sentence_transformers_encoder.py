"""A real SentenceTransformer, of a tiny BERT, against our own reading of the same folder."""

from __future__ import annotations

from pathlib import Path

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import modules

from ebmlm.encoders import SentenceTransformersEncoder
from ebmlm.models import load_encoder
from ebmlm.testing.tiny import tiny_encoder

TEXTS = ["0", "012", "21021", "11111111"]


def folder_of(tmp_path: Path, pooling: str = "mean", normalised: bool = True) -> Path:
    """A sentence-transformers folder of the tiny encoder."""
    tiny = tiny_encoder()
    tiny.model.float().save_pretrained(tmp_path / "bert")
    tiny.tokeniser.save_pretrained(tmp_path / "bert")
    transformer = modules.Transformer(str(tmp_path / "bert"))
    parts = [transformer, modules.Pooling(16, pooling)]
    if normalised:
        parts.append(modules.Normalize())
    SentenceTransformer(modules=parts, device="cpu").save(str(tmp_path / "sentence"))
    return tmp_path / "sentence"


def test_it_is_the_model_and_what_we_load_from_its_folder(tmp_path: Path) -> None:
    for pooling, normalised in (("mean", True), ("cls", False), ("lasttoken", True)):
        folder = folder_of(tmp_path / pooling, pooling, normalised)
        theirs = SentenceTransformersEncoder(SentenceTransformer(str(folder), device="cpu"))
        ours = load_encoder(folder)
        assert theirs.width == ours.width == 16
        assert ours.normalised == normalised
        found = theirs(TEXTS)
        assert found.dtype == torch.float32
        assert not found.requires_grad
        torch.testing.assert_close(found, ours(TEXTS), atol=1e-5, rtol=0)
        # What it returns can be worked with, and comes in the order that was asked for.
        torch.testing.assert_close(theirs(TEXTS[::-1]).flip(0) + 0, found, atol=1e-5, rtol=0)
