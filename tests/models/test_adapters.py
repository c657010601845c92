"""Adapters that are put into a base: which are taken, where they start, and what is refused."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from ebmlm.errors import UserError
from ebmlm.models import adapter_config, attach, load_pretrained
from ebmlm.training.preflight import check_adapters
from ebmlm.transformers_model import TransformersLanguageModel
from tests.helpers import draw, gradients, one_branch_at_a_time, packed_batch, raw_model, seeded

peft = pytest.importorskip("peft")

ATTENTION = ["q_proj", "v_proj"]
# What a configuration may ask for; sizes that fit a tiny model.
TYPES: dict[str, dict[str, Any]] = {
    "LoRA": {"peft_type": "LORA", "r": 2, "target_modules": "all-linear"},
    "rsLoRA": {"peft_type": "LORA", "r": 2, "use_rslora": True, "target_modules": ATTENTION},
    "DoRA": {"peft_type": "LORA", "r": 2, "use_dora": True, "target_modules": ATTENTION},
    "whole head": {
        "peft_type": "LORA",
        "r": 2,
        "target_modules": ATTENTION,
        "modules_to_save": ["lm_head"],
    },
    "embeddings": {"peft_type": "LORA", "r": 2, "target_modules": ["embed_tokens", "lm_head"]},
    "AdaLoRA": {
        "peft_type": "ADALORA",
        "init_r": 3,
        "target_r": 2,
        "total_step": 20,
        "target_modules": ATTENTION,
    },
    "IA3": {
        "peft_type": "IA3",
        "target_modules": ["k_proj", "v_proj", "down_proj"],
        "feedforward_modules": ["down_proj"],
    },
    "LoHa": {"peft_type": "LOHA", "r": 2, "target_modules": ATTENTION},
    "LoKr": {"peft_type": "LOKR", "r": 2, "target_modules": ATTENTION},
    "OFT": {"peft_type": "OFT", "r": 0, "oft_block_size": 4, "target_modules": ATTENTION},
    "VeRA": {"peft_type": "VERA", "r": 2, "target_modules": ATTENTION},
    "norms": {"peft_type": "LN_TUNING", "target_modules": ["norm"]},
    "tokens": {"peft_type": "TRAINABLE_TOKENS", "token_indices": [3, 5]},
}


def perturb(adapted: Any, scale: float = 0.1) -> None:
    """Have the adapters do something."""
    generator = seeded(4)
    with torch.no_grad():
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.add_(scale * torch.randn(parameter.shape, generator=generator))


def adapted(
    options: dict[str, Any], dtype: torch.dtype = torch.float32, **settings: Any
) -> tuple[TransformersLanguageModel, Any]:
    """A policy whose adapters do something, and its plain base."""
    model = attach(raw_model(dtype=dtype), adapter_config(options), **settings)
    perturb(model)
    return TransformersLanguageModel(model, [5]), raw_model(dtype=dtype)


@pytest.mark.parametrize("options", TYPES.values(), ids=TYPES)
def test_a_type_is_its_base_where_frozen_and_itself_elsewhere(options: dict[str, Any]) -> None:
    policy, raw = adapted(options)
    base = sum(parameter.numel() for parameter in raw.parameters())
    trains = [value for value in policy.model.parameters() if value.requires_grad]
    assert {value.dtype for value in trains} == {torch.float32}
    frozen = policy.frozen()
    assert frozen.model is policy.model

    rollouts = draw(policy, packed_batch())
    mask = rollouts.completion_mask
    scored = frozen.score(rollouts, sequences=True)
    expected = one_branch_at_a_time(raw, rollouts)
    torch.testing.assert_close(scored.completions.double(), expected, atol=1e-4, rtol=0)
    own = policy.score(rollouts).completions
    assert (own - scored.completions)[mask].abs().max() > 1e-3
    torch.testing.assert_close(own.detach(), rollouts.log_probs, atol=1e-4, rtol=0)
    # The head of the frozen view is the base's too, token by token.
    drawn = draw(frozen, packed_batch())
    again = one_branch_at_a_time(raw, drawn)
    torch.testing.assert_close(drawn.log_probs.double(), again, atol=1e-4, rtol=0)

    found = gradients(
        policy.model, lambda: policy.score(rollouts, sequences=True).completions.sum()
    )
    assert sum(value.numel() for value in found.values()) == sum(map(torch.numel, trains))
    assert sum(map(torch.numel, trains)) < base
    assert all(gradient.isfinite().all() for gradient in found.values())


@pytest.mark.parametrize("held", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("options", TYPES.values(), ids=TYPES)
def test_a_type_computes_in_bfloat16(options: dict[str, Any], held: torch.dtype) -> None:
    """Whether its base is held in bfloat16 or rounded for each pass."""
    policy, _ = adapted(options, held)
    trains = [value for value in policy.model.parameters() if value.requires_grad]
    assert {value.dtype for value in trains} == {torch.float32}
    with torch.autocast("cpu", torch.bfloat16):
        check_adapters(policy, resuming=False)
        rollouts = draw(policy, packed_batch())
        policy.frozen().score(rollouts)
        found = gradients(policy.model, lambda: policy.score(rollouts).completions.sum())
    assert len(found) == len(trains)
    assert all(gradient.dtype == torch.float32 for gradient in found.values())
    assert all(gradient.isfinite().all() for gradient in found.values())


@pytest.mark.parametrize("options", TYPES.values(), ids=TYPES)
def test_a_type_is_saved_and_loaded(
    options: dict[str, Any], model_folder: Path, tmp_path: Path
) -> None:
    model, _ = load_pretrained(model_folder)
    made = attach(model, adapter_config(options))
    perturb(made)
    made.save_pretrained(str(tmp_path / "adapter"), save_embedding_layers=False)
    tokens = torch.arange(9).unsqueeze(0)
    expected = made(input_ids=tokens).logits
    loaded, _ = load_pretrained(tmp_path / "adapter")
    torch.testing.assert_close(loaded(input_ids=tokens).logits, expected)
    assert {name for name, value in loaded.named_parameters() if value.requires_grad} == {
        name for name, value in made.named_parameters() if value.requires_grad
    }


def test_an_adapter_starts_from_its_seed_and_leaves_torch_alone() -> None:
    def weights(seed: int) -> torch.Tensor:
        model = attach(raw_model(), adapter_config(TYPES["LoRA"]), seed)
        return torch.cat([value.flatten() for value in model.parameters() if value.requires_grad])

    torch.manual_seed(1)
    first = weights(0)
    after = torch.rand(3)
    torch.manual_seed(1)
    assert torch.equal(torch.rand(3), after)
    assert torch.equal(weights(0), first)
    assert not torch.equal(weights(1), first)


def test_dropout_is_off_and_said(capsys: pytest.CaptureFixture[str]) -> None:
    config: Any = adapter_config({"peft_type": "LOHA", "rank_dropout": 0.2, "module_dropout": 0.5})
    assert (config.rank_dropout, config.module_dropout) == (0.0, 0.0)
    assert "peft_config.rank_dropout is 0.2: dropout is off" in capsys.readouterr().err


@pytest.mark.parametrize(
    "config",
    [
        peft.LoraConfig(r=2, target_modules=ATTENTION, lora_dropout=0.5),
        peft.LoHaConfig(r=2, target_modules=ATTENTION, rank_dropout=0.5, module_dropout=0.5),
        peft.OFTConfig(r=0, oft_block_size=4, target_modules=ATTENTION, module_dropout=0.5),
    ],
    ids=lambda config: config.peft_type.value,
)
def test_dropout_of_a_model_from_python_is_off_too(config: Any) -> None:
    made = peft.get_peft_model(raw_model(dtype=torch.float32), config)
    perturb(made)
    policy = TransformersLanguageModel(made, [5])
    policy.model.train()
    rollouts = draw(policy, packed_batch())
    scored = policy.score(rollouts).completions.detach()
    torch.testing.assert_close(scored, rollouts.log_probs, atol=1e-4, rtol=0)


def test_a_configuration_of_python_is_copied() -> None:
    config = peft.LoraConfig(r=2, target_modules=ATTENTION, lora_dropout=0.5, inference_mode=True)
    made: Any = adapter_config(config)
    assert (config.lora_dropout, made.lora_dropout) == (0.5, 0.0)
    assert (config.inference_mode, made.inference_mode) == (True, False)
    attach(raw_model(), made)
    assert made.target_modules == set(ATTENTION)
    assert made.base_model_name_or_path is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "names no peft_type"),
        ({"peft_type": "LORRA"}, "'LORRA': PEFT has no such type .did you mean 'LORA'"),
        ({"peft_type": "nothing like it"}, "no such type; it has .*IA3"),
        ({"peft_type": "LORA", "lora_alfa": 2}, "LORA has no such option .*'lora_alpha'"),
        ({"peft_type": "PREFIX_TUNING", "num_virtual_tokens": 4}, "own forward pass"),
        ({"peft_type": "PROMPT_TUNING"}, "own forward pass"),
        ({"peft_type": "XLORA"}, "own forward pass"),
        ({"peft_type": "LORA", "task_type": "SEQ_CLS"}, "'SEQ_CLS': a policy is a CAUSAL_LM"),
        ({"peft_type": "ADALORA"}, "total_step"),
    ],
)
def test_a_configuration_that_cannot_be_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        adapter_config(options)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target_modules": ["q_proj", "v_prj"]}, "no module 'v_prj' .*'v_proj'.*down_proj"),
        ({"target_modules": r".*\.atn\..*"}, "no module"),
        ({"modules_to_save": ["head"]}, "peft_config.modules_to_save: .*no module 'head'"),
        ({"r": 0}, "does not fit this model"),
        ({"init_lora_weights": "pissa"}, "changes the base"),
        ({"init_lora_weights": "olora"}, "changes the base"),
    ],
)
def test_an_adapter_that_does_not_fit_is_refused(changes: dict[str, Any], message: str) -> None:
    options = {"peft_type": "LORA", "r": 2, "target_modules": ATTENTION}
    config = adapter_config(options | changes)
    with pytest.raises(UserError, match=message):
        attach(raw_model(dtype=torch.float32), config)


def test_weights_of_the_base_do_not_train() -> None:
    options = {"peft_type": "LORA", "r": 2, "target_modules": ATTENTION, "bias": "all"}
    with pytest.raises(UserError, match=r"q_proj.*bias.*set bias to none"):
        attach(raw_model("qwen2"), adapter_config(options))


def test_a_second_adapter_is_refused() -> None:
    made = attach(raw_model(), adapter_config(TYPES["LoRA"]))
    with pytest.raises(UserError, match="has an adapter already"):
        attach(made, adapter_config(TYPES["LoRA"]))


def test_a_merged_adapter_is_refused() -> None:
    policy, _ = adapted(TYPES["LoRA"])
    policy.model.merge_adapter()
    with pytest.raises(UserError, match="call unmerge_adapter"):
        TransformersLanguageModel(policy.model)
    policy.model.unmerge_adapter()
    TransformersLanguageModel(policy.model)


def test_without_peft_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(UserError, match=r"pip install 'ebmlm\[peft\]'"):
        adapter_config({"peft_type": "LORA"})
