"""Encoder features: decoded text, its context, and each reference encoded once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch

from ebmlm.distribution import Categorical
from ebmlm.encoders import TextEncoder
from ebmlm.features import EncoderFeatures
from ebmlm.rollouts import Rollouts, SequenceBatch
from ebmlm.testing.tiny import tiny_encoder
from ebmlm.texts import Texts


class _Digits:
    def decode(self, tokens: list[int], **options: Any) -> str:
        return "".join(map(str, tokens))


class _Counted(TextEncoder):
    """Counts how often it is asked for each text."""

    def __init__(self) -> None:
        self.inner = tiny_encoder()
        self.texts: list[str] = []

    @property
    def width(self) -> int:
        return self.inner.width

    def __call__(self, texts: Sequence[str]) -> torch.Tensor:
        self.texts += texts
        return self.inner(texts)


TEXTS = Texts(cast(Any, _Digits()), {})
BATCH = SequenceBatch.of(torch.tensor([[0, 1, 2, 0, 1, 2, 0, 0]]))


def _rollouts(completions: list[list[int]]) -> Rollouts:
    anchors = torch.tensor([[2, 4]])
    drawn = torch.tensor(completions).expand(1, 2, -1, -1)
    return Rollouts.given(BATCH, anchors, anchors > 0, drawn, Categorical())


def test_features_are_those_of_the_text() -> None:
    features = EncoderFeatures(tiny_encoder(), TEXTS, context=1)
    found = features(_rollouts([[1, 1], [2, 0]]))
    encoder = tiny_encoder()
    torch.testing.assert_close(found.rollouts[0, 0], encoder(["111", "120"]))
    torch.testing.assert_close(found.rollouts[0, 1], encoder(["011", "020"]))
    assert found.references is not None
    torch.testing.assert_close(found.references[0], encoder(["120", "012"]))
    assert features.blocks == found.blocks == (16,)


def test_a_reference_is_encoded_once_for_all_epochs() -> None:
    encoder = _Counted()
    features = EncoderFeatures(encoder, TEXTS, context=1, batch_size=2)
    for completions in ([[1, 1], [2, 2]], [[0, 2], [2, 1]]):
        features(_rollouts(completions))
    assert encoder.texts.count("012") == 1
    assert encoder.texts.count("120") == 1
    assert len(encoder.texts) == 2 + 4 + 4
