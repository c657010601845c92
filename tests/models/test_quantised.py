"""Adapters over bases in 4 and 8 bits: what is held, what trains, and what is refused."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from ebmlm.errors import UserError
from ebmlm.features import HiddenStateFeatures, LayerIndices
from ebmlm.models.quantised import quantisation
from ebmlm.training import Precision
from ebmlm.training.preflight import check_adapters
from ebmlm.training.start import load_measured, load_policy, weights_in_words
from tests.helpers import draw, gradients, one_branch_at_a_time, packed_batch
from tests.models.conftest import model_folder  # noqa: F401 (a fixture)
from tests.models.test_adapters import perturb

pytest.importorskip("peft")
pytest.importorskip("bitsandbytes")

CPU = torch.device("cpu")
LORA = {"peft_type": "LORA", "r": 2, "target_modules": "all-linear"}
KINDS: dict[str, dict[str, Any]] = {
    "nf4": {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"},
    "fp4": {"load_in_4bit": True, "bnb_4bit_quant_type": "fp4"},
    "twice": {"load_in_4bit": True, "bnb_4bit_use_double_quant": True},
    "int8": {"load_in_8bit": True},
}


def loaded(folder: Path, kind: str, precision: Precision = Precision.float32) -> Any:
    policy, _ = load_policy(
        str(folder), CPU, precision=precision, peft_config=LORA, quantization_config=KINDS[kind]
    )
    perturb(policy.model)
    return policy


@pytest.mark.parametrize("precision", [Precision.float32, Precision.bfloat16])
@pytest.mark.parametrize("kind", KINDS)
def test_adapters_train_over_a_quantised_base(
    model_folder: Path,  # noqa: F811
    kind: str,
    precision: Precision,
) -> None:
    policy = loaded(model_folder, kind, precision)
    base = policy.model.get_base_model()
    weight = base.model.layers[0].mlp.up_proj.weight
    assert weight.dtype == (torch.int8 if kind == "int8" else torch.uint8)
    before = weight.clone()
    assert f"base of 0M in {8 if kind == 'int8' else 4} bits" in weights_in_words(policy.model)
    trains = {name: value for name, value in policy.model.named_parameters() if value.requires_grad}
    assert {value.dtype for value in trains.values()} == {torch.float32}

    policy.model.train()
    frozen = policy.frozen()
    with torch.autocast("cpu", torch.bfloat16, enabled=precision is Precision.bfloat16):
        check_adapters(policy, resuming=False)
        rollouts = draw(policy, packed_batch())
        HiddenStateFeatures(frozen, LayerIndices([1]))(rollouts)
        frozen.score(rollouts)
        found = gradients(policy.model, lambda: policy.score(rollouts).completions.sum())
    assert found.keys() == trains.keys()
    assert all(gradient.isfinite().all() for gradient in found.values())
    assert torch.equal(policy.model.get_base_model().model.layers[0].mlp.up_proj.weight, before)


@pytest.mark.parametrize("kind", KINDS)
def test_its_gradient_is_that_of_the_weights_it_stands_for(
    model_folder: Path,  # noqa: F811
    kind: str,
) -> None:
    """Against a plain model with the quantised weights written out, in either mode."""
    policy = loaded(model_folder, kind)
    plain, _ = load_policy(str(model_folder), CPU, peft_config=LORA)
    perturb(plain.model)
    written = dict(plain.model.named_modules())
    for name, module in policy.model.named_modules():
        if type(module).__module__.startswith("bitsandbytes."):
            with torch.no_grad():
                identity = torch.eye(module.in_features)
                written[name].weight.copy_((module(identity) - (module.bias or 0)).T)
    for training in (False, True):
        policy.model.train(training)
        rollouts = draw(policy, packed_batch())
        scored = policy.score(rollouts).completions.detach()
        torch.testing.assert_close(scored, rollouts.log_probs, atol=1e-4, rtol=0)
        found = gradients(policy.model, lambda: policy.score(rollouts).completions.sum())  # noqa: B023
        expected = gradients(plain.model, lambda: plain.score(rollouts).completions.sum())  # noqa: B023
        assert found.keys() == expected.keys()
        for name, gradient in expected.items():
            torch.testing.assert_close(found[name], gradient, atol=2e-3, rtol=1e-3, msg=name)
        frozen = policy.frozen().score(rollouts).completions
        alone = one_branch_at_a_time(plain.model.unload(), rollouts) if training else None
        if alone is not None:
            torch.testing.assert_close(frozen.double(), alone, atol=1e-3, rtol=0)


def test_a_quantised_adapter_is_saved_and_measured(
    model_folder: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    policy = loaded(model_folder, "nf4")
    policy.model.save_pretrained(tmp_path / "adapter", save_embedding_layers=False)
    again, _ = load_measured(str(tmp_path / "adapter"), CPU, quantization_config=KINDS["nf4"])
    rollouts = draw(policy, packed_batch())
    torch.testing.assert_close(
        again.score(rollouts).completions, policy.score(rollouts).completions
    )
    base, _ = load_measured(str(model_folder), CPU, quantization_config=KINDS["nf4"])
    torch.testing.assert_close(
        base.frozen().score(rollouts).completions, policy.frozen().score(rollouts).completions
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "neither or both"),
        ({"load_in_4bit": True, "load_in_8bit": True}, "neither or both"),
        ({"load_in_4bits": True}, "no such option .did you mean 'load_in_4bit'"),
        ({"load_in_4bit": True, "quant_method": "gptq"}, "'gptq': only bitsandbytes"),
        ({"load_in_4bit": True, "bnb_4bit_compute_dtype": "float33"}, "float33"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        quantisation(options, torch.float32)


def test_a_quantised_base_without_adapters_is_refused(model_folder: Path) -> None:  # noqa: F811
    with pytest.raises(UserError, match="quantization_config without peft_config"):
        load_policy(str(model_folder), CPU, quantization_config=KINDS["nf4"])


def test_the_type_to_compute_in_is_the_run_s() -> None:
    assert quantisation({"load_in_4bit": True}, torch.bfloat16).bnb_4bit_compute_dtype == (
        torch.bfloat16
    )
    own = {"load_in_4bit": True, "bnb_4bit_compute_dtype": "float32"}
    assert quantisation(own, torch.bfloat16).bnb_4bit_compute_dtype == torch.float32


def test_without_bitsandbytes_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(UserError, match=r"pip install 'ebmlm\[quantised\]'"):
        quantisation({"load_in_4bit": True}, torch.float32)
