"""Frozen copies, and adapters that are switched off."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from ebmlm.features import HiddenStateFeatures, LayerIndices
from ebmlm.transformers_model import TransformersLanguageModel
from tests.helpers import (
    draw,
    gradients,
    one_branch_at_a_time,
    packed_batch,
    pair,
    raw_model,
)


def _adapted(dtype: torch.dtype = torch.float64) -> tuple[TransformersLanguageModel, Any]:
    """A LoRA model whose adapters do something, and its plain base."""
    peft = pytest.importorskip("peft")
    raw = raw_model(dtype=dtype)
    config = peft.LoraConfig(r=2, target_modules=["q_proj", "v_proj"], lora_dropout=0.3)
    adapted = peft.get_peft_model(raw_model(dtype=dtype), config)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter.fill_(0.3)
    return TransformersLanguageModel(adapted.to(dtype), [5]), raw


def test_a_copy_stays_as_it_was() -> None:
    model, raw = pair()
    model.model.train()
    frozen = model.frozen()
    assert model.model.training
    rollouts = draw(model, packed_batch())
    expected = one_branch_at_a_time(raw, rollouts)
    with torch.no_grad():
        for parameter in model.model.parameters():
            parameter.add_(0.1)
        assert (model.score(rollouts).completions - expected).abs().max() > 0.1
    scored = frozen.score(rollouts).completions
    torch.testing.assert_close(scored, expected, atol=1e-5, rtol=0)
    assert not scored.requires_grad
    assert not frozen.model.training
    assert not any(parameter.requires_grad for parameter in frozen.model.parameters())
    assert all(parameter.requires_grad for parameter in model.model.parameters())
    assert frozen.end_tokens == model.end_tokens


def test_a_frozen_adapted_model_is_its_base_and_shares_its_weights() -> None:
    model, raw = _adapted()
    frozen = model.frozen()
    rollouts = draw(model, packed_batch())
    base = one_branch_at_a_time(raw, rollouts)
    theirs = {parameter.data_ptr() for parameter in model.model.parameters()}
    assert {parameter.data_ptr() for parameter in frozen.model.parameters()} == theirs

    scored = frozen.score(rollouts, sequences=True)
    torch.testing.assert_close(scored.completions, base, atol=1e-5, rtol=0)
    assert not scored.completions.requires_grad
    # The policy itself has its adapters, before and after.
    adapted = model.score(rollouts).completions.detach()
    assert (adapted - base).abs().max() > 0.01
    torch.testing.assert_close(adapted, rollouts.log_probs, atol=1e-10, rtol=0)

    plain = TransformersLanguageModel(raw).frozen()
    for layers in ([0], [1], [2], [0, 1, 2]):
        ours = HiddenStateFeatures(frozen, LayerIndices(layers))(rollouts)
        expected = HiddenStateFeatures(plain, LayerIndices(layers))(rollouts)
        torch.testing.assert_close(ours.rollouts, expected.rollouts)
    # Drawing from the base leaves the adapters off as well.
    drawn = draw(frozen, packed_batch())
    torch.testing.assert_close(drawn.log_probs, one_branch_at_a_time(raw, drawn), atol=1e-5, rtol=0)
    after = model.score(rollouts).completions
    torch.testing.assert_close(after.detach(), adapted)


def test_gradient_flows_into_the_adapters_only() -> None:
    model, _ = _adapted()
    model.model.train()
    frozen = model.frozen()
    rollouts = draw(model, packed_batch())
    HiddenStateFeatures(frozen, LayerIndices([1]))(rollouts)
    frozen.score(rollouts)
    found = gradients(model.model, lambda: model.score(rollouts).completions.square().sum())
    trainable = {name for name, value in model.model.named_parameters() if value.requires_grad}
    assert found.keys() == trainable
    assert all("lora_" in name for name in found)
    assert all(gradient.abs().max() > 0 for gradient in found.values())


def test_a_frozen_adapted_model_keeps_no_graph() -> None:
    """Even where its inputs ask for a gradient, as they do under gradient checkpointing."""
    model, _ = _adapted()
    frozen = model.frozen()
    model.model.get_base_model().enable_input_require_grads()
    rollouts = draw(model, packed_batch())
    scoring = frozen.score(rollouts, sequences=True)
    assert scoring.sequences is not None
    assert not scoring.completions.requires_grad
    assert not scoring.sequences.requires_grad
    assert not frozen.score_sequences(rollouts.batch).requires_grad
    states = frozen.hidden_states(rollouts, [1, 2])
    assert not any(state.requires_grad for state in (*states.trunk, *states.branches))
    assert model.score(rollouts).completions.requires_grad


def test_the_adapters_scores_equal_one_branch_at_a_time() -> None:
    model, _ = _adapted()
    rollouts = draw(model, packed_batch())
    merged = raw_model()
    with torch.no_grad():
        for number, layer in enumerate(merged.model.layers):
            adapted = model.model.get_base_model().model.layers[number].self_attn
            for name in ("q_proj", "v_proj"):
                part = getattr(adapted, name)
                change = part.lora_B["default"].weight @ part.lora_A["default"].weight
                getattr(layer.self_attn, name).weight += part.scaling["default"] * change
    scored = model.score(rollouts).completions.detach()
    torch.testing.assert_close(scored, one_branch_at_a_time(merged, rollouts), atol=1e-5, rtol=0)


def test_under_autocast_an_adapted_model_learns_too() -> None:
    model, _ = _adapted(torch.float32)
    frozen = model.frozen()
    with torch.autocast("cpu", torch.bfloat16):
        rollouts = draw(model, packed_batch())
        HiddenStateFeatures(frozen, LayerIndices([1]))(rollouts)
        found = gradients(model.model, lambda: model.score(rollouts).completions.sum())
    assert all(gradient.abs().max() > 0 for gradient in found.values())
    assert len(found) == 8


def test_one_copy_is_shared_until_a_weight_changes() -> None:
    model, _ = pair()
    first = model.frozen()
    assert model.frozen() is first
    with torch.autocast("cpu", torch.bfloat16):
        rounded = model.frozen()
        assert rounded is not first
        assert model.frozen() is rounded
    with torch.no_grad():
        next(model.model.parameters()).add_(1)
    second = model.frozen()
    assert second is not first
    largest = max(
        float((a - b).abs().max())
        for a, b in zip(first.model.parameters(), second.model.parameters(), strict=True)
    )
    assert largest == 1
    del second
    assert model.frozen() is not first
