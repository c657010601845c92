"""Passes in float32 over weights held in half precision."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from ebmlm.taps import layer_stack
from ebmlm.transformers_model import TransformersLanguageModel
from ebmlm.widening import widened
from tests.helpers import CONFIGURATIONS, LAYERS, draw, packed_batch, raw_model

TOKENS = torch.arange(12).unsqueeze(0)


def halved(model: Any) -> Any:
    """The same numbers in both types: weights that bfloat16 holds."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.data = parameter.data.bfloat16()
    return model


@torch.no_grad()
@pytest.mark.parametrize("architecture", CONFIGURATIONS)
def test_a_pass_is_that_of_the_model_in_float32(architecture: str) -> None:
    model = halved(raw_model(architecture, torch.float32))
    wide = halved(raw_model(architecture, torch.float32))
    for parameter in wide.parameters():
        parameter.data = parameter.data.float()
    before = {name: value.data for name, value in model.named_parameters()}
    with widened(model, layer_stack(model.base_model, LAYERS)):
        found = model(input_ids=TOKENS).logits
    assert found.dtype == torch.float32
    assert torch.equal(found, wide(input_ids=TOKENS).logits)
    # The very same memory as before, and as rough as it was.
    for name, value in model.named_parameters():
        assert value.data_ptr() == before[name].data_ptr()
    assert model(input_ids=TOKENS).logits.dtype == torch.bfloat16


@torch.no_grad()
def test_an_error_on_the_way_leaves_the_weights_as_they_were() -> None:
    model = halved(raw_model(dtype=torch.float32))

    def fail(*arguments: Any) -> None:
        raise RuntimeError("on the way")

    hook = model.model.layers[1].mlp.register_forward_hook(fail)
    with (
        pytest.raises(RuntimeError, match="on the way"),
        widened(model, layer_stack(model.base_model, LAYERS)),
    ):
        model(input_ids=TOKENS)
    hook.remove()
    assert {value.dtype for value in model.parameters()} == {torch.bfloat16}
    assert model(input_ids=TOKENS).logits.dtype == torch.bfloat16


def test_a_model_in_bfloat16_with_large_logits_is_tried_without_rounding() -> None:
    """Rounded logits of 100 would differ by half a nat between two ways of computing them."""
    model = raw_model(dtype=torch.float32)
    with torch.no_grad():
        model.lm_head.weight.mul_(100)
    policy = TransformersLanguageModel(halved(model), [5])
    assert draw(policy, packed_batch()).completions.shape[0] == 4
