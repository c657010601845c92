"""Bases of four and eight bits by the real bitsandbytes, on a CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from ebmlm.errors import UserError
from ebmlm.models import load_pretrained
from ebmlm.models import quantised as quantising
from ebmlm.models.adapters import attach
from ebmlm.models.quantised import parse_quantization_config
from ebmlm.objectives import recipes
from ebmlm.rollouts import SequenceBatch
from ebmlm.transformers_model import TransformersLanguageModel
from tests.helpers import seeded
from tests.models.conftest import tiny_model, tiny_tokeniser

LORA = {"peft_type": "LORA", "r": 2, "target_modules": ["q_proj", "down_proj"]}
FOUR = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_compute_dtype": "float32"}
EIGHT = {"load_in_8bit": True, "llm_int8_threshold": 0.0}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Wide enough for blocks of 64 weights."""
    tiny_model(hidden_size=64, intermediate_size=128).save_pretrained(tmp_path / "tiny")
    tiny_tokeniser(bos_token="<start>", eos_token="<end>").save_pretrained(tmp_path / "tiny")
    return tmp_path / "tiny"


def _dequantised(model: Any, folder: Path) -> Any:
    """The same model with plain weights of the same values."""
    import bitsandbytes as bnb

    plain: Any = load_pretrained(folder)[0]
    for name, module in model.named_modules():
        if isinstance(module, bnb.nn.Linear4bit):
            weight: Any = module.weight
            values = bnb.functional.dequantize_4bit(weight.data, weight.quant_state)
            plain.get_submodule(name).weight.data = values.view_as(
                plain.get_submodule(name).weight
            ).float()
    return plain


def _gradients(model: Any) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    adapted = attach(model, LORA, seed=3)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter.copy_(0.1 * torch.randn(parameter.shape, generator=seeded(1)))
    policy = TransformersLanguageModel(adapted)
    objective = recipes.ebft(policy, horizon=3, stride=4, context=3, samples=3, cross_entropy=0.1)
    batch = SequenceBatch.of(torch.randint(3, 250, (2, 16), generator=seeded(2)))
    loss = objective.loss(policy, batch, generator=seeded(0)).loss
    loss.backward()
    return loss.detach(), {
        name: parameter.grad
        for name, parameter in adapted.named_parameters()
        if parameter.grad is not None
    }


def test_gradients_through_four_bit_weights_are_those_of_their_values(folder: Path) -> None:
    """Packed for inference on a CPU they have no backward pass: loading keeps them from it."""
    model: Any = load_pretrained(folder, quantization_config=FOUR)[0]
    plain = _dequantised(model, folder)
    loss, found = _gradients(model)
    plain_loss, expected = _gradients(plain)
    torch.testing.assert_close(loss, plain_loss, atol=1e-4, rtol=1e-4)
    assert found.keys() == expected.keys()
    largest = max(float(value.abs().max()) for value in expected.values())
    assert largest > 1e-3
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, atol=1e-3 * largest, rtol=0)


def test_eight_bits_train(folder: Path) -> None:
    model: Any = load_pretrained(folder, quantization_config=EIGHT)[0]
    loss, found = _gradients(model)
    assert loss.isfinite()
    assert all(value.isfinite().all() for value in found.values())
    assert any(value.any() for value in found.values())


def test_configurations_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    assert parse_quantization_config(None) is None
    assert parse_quantization_config({**FOUR, "quant_method": "bitsandbytes"}).load_in_4bit
    for given, said in (
        (
            {"load_in_4bits": True},
            "load_in_4bits: there is no .*; did you mean load_in_4bit",
        ),
        ({"bnb_4bit_quant_type": "nf4"}, "nothing would be quantised"),
        ({"load_in_4bit": True, "load_in_8bit": True}, "quantization_config: "),
    ):
        with pytest.raises(UserError, match=said):
            parse_quantization_config(given)
    monkeypatch.setattr(quantising, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'ebmlm\[quantised\]'"):
        parse_quantization_config(FOUR)
