"""Adapters from configurations and from folders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from ebmlm.errors import UserError
from ebmlm.models import load_pretrained
from ebmlm.models.adapters import attach, load_adapter, parse_peft_config, write_base_name
from ebmlm.transformers_model import TransformersLanguageModel
from tests.helpers import draw, packed_batch, raw_model
from tests.models.conftest import tiny_model

LORA = {"peft_type": "LORA", "r": 2, "target_modules": "all-linear"}
KINDS: dict[str, dict[str, Any]] = {
    "LoRA": LORA,
    "DoRA": {**LORA, "use_dora": True},
    "IA3": {
        "peft_type": "IA3",
        "target_modules": ["k_proj", "v_proj", "down_proj"],
        "feedforward_modules": ["down_proj"],
    },
    "LoHa": {"peft_type": "LOHA", "r": 2, "target_modules": ["q_proj", "v_proj"]},
    "with a trained head": {**LORA, "modules_to_save": ["lm_head"]},
}


@pytest.mark.parametrize("kind", KINDS)
def test_adapters_are_trained_and_the_base_is_the_reference(kind: str) -> None:
    """One set of weights: a step moves the policy, and not what it is with the adapters off."""
    raw = raw_model()
    policy = TransformersLanguageModel(attach(raw_model(), KINDS[kind]).double(), [5])
    reference = policy.frozen()
    rollouts = draw(policy, packed_batch())
    plain = TransformersLanguageModel(raw, [5]).score(rollouts).completions.detach()
    base = [p for p in policy.model.parameters() if not p.requires_grad]
    before = [parameter.clone() for parameter in base]
    assert {p.data_ptr() for p in reference.model.parameters()} == {
        p.data_ptr() for p in policy.model.parameters()
    }
    trained = [p for p in policy.model.parameters() if p.requires_grad]
    optimiser = torch.optim.SGD(trained, lr=0.5)
    for _ in range(2):
        optimiser.zero_grad()
        policy.score(rollouts).completions.sum().backward()
        optimiser.step()
    torch.testing.assert_close(reference.score(rollouts).completions, plain, atol=1e-5, rtol=0)
    assert (policy.score(rollouts).completions - plain).abs().max() > 1e-3
    assert all(torch.equal(a, b) for a, b in zip(base, before, strict=True))


def test_first_weights_are_the_seeds_and_torchs_own_generator_stays() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    made = [attach(tiny_model(), LORA, seed=seed) for seed in (1, 1, 2)]
    assert torch.equal(torch.rand(1), expected)
    first, second, other = (
        torch.cat([p.flatten() for n, p in one.named_parameters() if "lora_A" in n]) for one in made
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_adapters_are_float32_whatever_the_base_is() -> None:
    adapted = attach(tiny_model().bfloat16(), LORA)
    for name, parameter in adapted.named_parameters():
        wide = torch.float32 if "lora_" in name else torch.bfloat16
        assert parameter.dtype == wide, name
        assert parameter.requires_grad == ("lora_" in name)


def test_a_folder_of_adapters_loads_with_its_base(model_folder: Path, tmp_path: Path) -> None:
    model: Any
    model, _ = load_pretrained(model_folder)
    adapted = attach(model, LORA, name=str(model_folder))
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter.fill_(0.2)
    tokens = torch.tensor([[5, 9, 11, 30]])
    expected = adapted(input_ids=tokens).logits
    adapted.save_pretrained(tmp_path / "adapter")
    write_base_name(adapted, tmp_path / "adapter")
    saved = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert saved["base_model_name_or_path"] == str(model_folder)
    loaded: Any
    loaded, tokeniser = load_pretrained(tmp_path / "adapter")
    torch.testing.assert_close(loaded(input_ids=tokens).logits, expected)
    assert tokeniser.eos_token == "<end>"
    assert any(parameter.requires_grad for parameter in loaded.parameters())
    merged = loaded.merge_and_unload()
    torch.testing.assert_close(merged(input_ids=tokens).logits, expected, atol=1e-4, rtol=1e-4)
    write_base_name(merged, tmp_path)


def test_what_is_no_adapter_is_refused(tmp_path: Path, model_folder: Path) -> None:
    config = tmp_path / "adapter_config.json"
    config.write_text("{}")
    with pytest.raises(UserError, match="does not say which model it is for"):
        load_pretrained(tmp_path)
    config.write_text("not json")
    with pytest.raises(UserError, match="cannot be read"):
        load_pretrained(tmp_path)
    config.write_text(json.dumps({"base_model_name_or_path": str(model_folder)}))
    with pytest.raises(UserError, match=r"has no adapter_model\.safetensors"):
        load_pretrained(tmp_path)
    attach(tiny_model(hidden_size=16), LORA).save_pretrained(tmp_path)
    content = json.loads(config.read_text())
    config.write_text(json.dumps({**content, "base_model_name_or_path": str(model_folder)}))
    with pytest.raises(UserError, match=r"adapters in .* do not fit"):
        load_adapter(load_pretrained(model_folder)[0], tmp_path)


def test_configurations_are_looked_at() -> None:
    from peft import LoraConfig

    assert parse_peft_config(LORA).task_type == "CAUSAL_LM"
    own = LoraConfig(r=3)
    assert parse_peft_config(own) is own
    for given, said in (
        ({"r": 2}, "has no peft_type"),
        ({"peft_type": "LORRA"}, "peft_type LORRA does not exist; did you mean LORA"),
        ({"peft_type": "lora", "rr": 2}, "peft_type lora does not exist; did you mean LORA"),
        ({"peft_type": "LORA", "lora_alhpa": 2}, r"lora_alhpa: LORA has no such.*lora_alpha"),
        ({"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 4}, "puts tokens of its own before"),
        ({"peft_type": "ADALORA", "total_step": 9}, "needs to be told of every step"),
    ):
        with pytest.raises(UserError, match=said):
            parse_peft_config(given)
    with pytest.raises(UserError, match=r"peft_config does not fit this model: .*nothing_like_it"):
        attach(tiny_model(), {"peft_type": "LORA", "target_modules": ["nothing_like_it"]})


def test_without_peft_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(UserError, match=r"pip install 'ebmlm\[peft\]'"):
        parse_peft_config(LORA)
