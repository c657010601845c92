"""A text encoder against the network it wraps, one text at a time."""

from __future__ import annotations

import pytest
import torch

from ebmlm.encoders import TransformersEncoder
from ebmlm.errors import UserError
from ebmlm.features import FirstToken, LastToken, MeanToken, PerToken, Pooling
from ebmlm.testing.tiny import tiny_encoder

TEXTS = ["0", "012", "21021", "11111111", ""]


def _alone(encoder: TransformersEncoder, text: str) -> torch.Tensor:
    """Last hidden states (token, feature) of one text without any padding."""
    tokens = encoder.tokeniser(text, return_tensors="pt")
    states: torch.Tensor = encoder.model(**tokens).last_hidden_state[0]
    return states


@pytest.mark.parametrize(
    ("pooling", "by_hand"),
    [
        (MeanToken(), lambda states: states.mean(0)),
        (FirstToken(), lambda states: states[0]),
        (LastToken(), lambda states: states[-1]),
    ],
    ids=["mean", "first", "last"],
)
def test_vectors_are_those_of_each_text_alone(pooling: Pooling, by_hand: object) -> None:
    encoder = tiny_encoder(pooling=pooling, normalised=False)
    found = encoder(TEXTS)
    assert callable(by_hand)
    assert found.shape == (len(TEXTS), encoder.width) == (5, 16)
    for text, vector in zip(TEXTS, found, strict=True):
        torch.testing.assert_close(vector, by_hand(_alone(encoder, text)))


def test_vectors_have_length_one_unless_asked_otherwise() -> None:
    unit, raw = tiny_encoder(), tiny_encoder(normalised=False)
    expected = raw(TEXTS) / raw(TEXTS).norm(dim=-1, keepdim=True)
    torch.testing.assert_close(unit(TEXTS), expected)


def test_of_a_long_text_the_end_is_seen() -> None:
    encoder = tiny_encoder(longest=6)
    assert encoder.longest == 6
    torch.testing.assert_close(encoder(["0000000012"]), encoder(["2222000012"]))
    assert not torch.allclose(encoder(["0000000012"]), encoder(["0000000011"]))
    assert encoder.tokeniser.truncation_side == "right"
    assert tiny_encoder().longest == 24


def test_it_is_frozen_and_computes_in_its_own_precision() -> None:
    encoder = tiny_encoder()
    assert not any(parameter.requires_grad for parameter in encoder.model.parameters())
    with torch.enable_grad(), torch.autocast("cpu", torch.bfloat16):
        found = encoder(TEXTS)
    assert not found.requires_grad
    assert torch.equal(found, encoder(TEXTS))
    encoder.model.to(torch.bfloat16)
    assert encoder(TEXTS).dtype == torch.float32


def test_positions_of_roberta_start_after_padding() -> None:
    from transformers import RobertaConfig, RobertaModel

    config = RobertaConfig(
        vocab_size=8,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=12,
        pad_token_id=0,
    )
    tokeniser = tiny_encoder().tokeniser
    encoder = TransformersEncoder(RobertaModel(config), tokeniser)
    assert encoder.longest == 12
    config.pad_token_id = 1
    encoder = TransformersEncoder(RobertaModel(config), tokeniser)
    assert encoder.longest == 10
    assert encoder(["0" * 50]).isfinite().all()


def test_options_out_of_range() -> None:
    with pytest.raises(UserError, match="PerToken has no width of its own"):
        tiny_encoder(pooling=PerToken())
    with pytest.raises(UserError, match="longest is 0"):
        tiny_encoder(longest=0)
