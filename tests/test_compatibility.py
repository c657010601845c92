"""Architectures that cannot take the tree are refused by name; the others are left as they were."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from ebmlm.errors import UserError
from ebmlm.transformers_model import TransformersLanguageModel
from tests.helpers import (
    CONFIGURATIONS,
    VOCABULARY,
    draw,
    gradients,
    largest_difference,
    one_branch_at_a_time,
    packed_batch,
    pair,
    raw_model,
)

_SMALL: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 24,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
}
_ALIBI: dict[str, Any] = {"vocab_size": VOCABULARY, "hidden_size": 16, "n_layer": 2, "n_head": 4}

REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "windowed mistral": ("mistral", {**_SMALL, "sliding_window": 8}, "sliding window of 8 tokens"),
    "windowed qwen2": (
        "qwen2",
        {**_SMALL, "use_sliding_window": True, "sliding_window": 8, "max_window_layers": 0},
        "sliding",
    ),
    "gemma2": ("gemma2", {**_SMALL, "head_dim": 4}, "layers of type sliding_attention"),
    "bloom": ("bloom", _ALIBI, "none of its layers calls"),
    "mamba": (
        "mamba",
        {"vocab_size": VOCABULARY, "hidden_size": 16, "num_hidden_layers": 2},
        "linear_attention|recurrent",
    ),
    "cohere": ("cohere", _SMALL, "differs by .* nats"),
    "granite": ("granite", {**_SMALL, "logits_scaling": 3.0}, "differs by .* nats"),
}


@pytest.mark.parametrize(("kind", "options", "reason"), REFUSED.values(), ids=REFUSED)
def test_refused_by_name(kind: str, options: dict[str, Any], reason: str) -> None:
    raw = raw_model(kind, **options)
    with pytest.raises(
        UserError, match=f"'{kind}' cannot take the prefix-tree.*{reason}"
    ) as caught:
        TransformersLanguageModel(raw)
    assert "Llama" in str(caught.value)


def test_a_model_that_gives_no_numbers_is_refused() -> None:
    raw = raw_model()
    with torch.no_grad():
        raw.model.layers[0].self_attn.q_proj.weight[0, 0] = float("nan")
    with pytest.raises(UserError, match="differs by nan nats"):
        TransformersLanguageModel(raw)


def test_a_window_is_refused_before_any_forward_pass() -> None:
    raw = raw_model("mistral", **{**_SMALL, "sliding_window": 8})

    def fail(*_: object) -> None:
        raise AssertionError("a forward pass was made")

    raw.register_forward_pre_hook(fail)
    with pytest.raises(UserError, match="sliding window"):
        TransformersLanguageModel(raw)


# Not promised by name; the probe lets them through, so they must be exact.
OTHERS: dict[str, dict[str, Any]] = {
    "olmo2": _SMALL,
    "phi": _SMALL,
    "stablelm": {**_SMALL, "partial_rotary_factor": 0.5},
    "starcoder2": {**_SMALL, "sliding_window": None},
    "gptj": {"vocab_size": VOCABULARY, "n_embd": 16, "n_layer": 2, "n_head": 4, "rotary_dim": 4},
    # Keys are wider than values.
    "deepseek_v3": {
        **_SMALL,
        "num_key_value_heads": 4,
        "q_lora_rank": None,
        "kv_lora_rank": 8,
        "qk_nope_head_dim": 4,
        "qk_rope_head_dim": 4,
        "v_head_dim": 6,
        "first_k_dense_replace": 2,
    },
}


@pytest.mark.parametrize(("kind", "options"), OTHERS.items(), ids=OTHERS)
def test_what_is_accepted_is_exact(kind: str, options: dict[str, Any]) -> None:
    raw = raw_model(kind, **options)
    model = TransformersLanguageModel(copy.deepcopy(raw), [5])
    rollouts = draw(model, packed_batch())
    with torch.no_grad():
        scored = model.score(rollouts).completions
    expected = one_branch_at_a_time(raw, rollouts)
    torch.testing.assert_close(scored, expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(rollouts.log_probs, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("training", [True, False])
def test_mode_and_weights_are_left_alone(training: bool) -> None:
    raw = raw_model().train(training)
    before = {name: value.clone() for name, value in raw.state_dict().items()}
    model = TransformersLanguageModel(raw)
    assert model.model is raw
    assert all(module.training == training for module in raw.modules())
    assert all(torch.equal(value, before[name]) for name, value in raw.state_dict().items())
    assert all(parameter.requires_grad for parameter in raw.parameters())
    assert all(parameter.grad is None for parameter in raw.parameters())


def test_mode_is_left_alone_where_a_model_is_refused() -> None:
    raw = raw_model("bloom", **_ALIBI).train()
    with pytest.raises(UserError):
        TransformersLanguageModel(raw)
    assert raw.training


@pytest.mark.parametrize("architecture", CONFIGURATIONS)
def test_gradient_checkpointing_gives_the_same_gradients(architecture: str) -> None:
    model, _ = pair(architecture)
    model.model.train()
    rollouts = draw(model, packed_batch())

    def loss() -> torch.Tensor:
        scoring = model.score(rollouts, sequences=True)
        assert scoring.sequences is not None
        return scoring.completions.square().sum() + scoring.sequences.sum()

    expected = gradients(model.model, loss)
    passes = 0

    def count(*_: object) -> None:
        nonlocal passes
        passes += 1

    layers = next(part for part in model.model.modules() if isinstance(part, nn.ModuleList))
    next(
        part for part in layers[0].modules() if not len(list(part.children()))
    ).register_forward_hook(count)
    # The name that transformers gives it from its version 5.
    enable = getattr(model.model, "activation_checkpointing_enable", None)
    (enable or model.model.gradient_checkpointing_enable)()
    found = gradients(model.model, loss)
    assert passes == 2
    assert largest_difference(found, expected) < 1e-9
