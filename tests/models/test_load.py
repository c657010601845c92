from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertModel

from ebmlm.errors import UserError
from ebmlm.models import load_pretrained

from .conftest import tiny_model, tiny_tokeniser, tiny_vocabulary


def test_a_saved_model_loads_with_its_tokeniser(model_folder: Path) -> None:
    model, tokeniser = load_pretrained(model_folder)
    assert model.dtype == torch.float32 and not model.training
    ids = tokeniser("ab 12", return_tensors="pt").input_ids
    with torch.no_grad():
        assert torch.equal(model(ids).logits, tiny_model()(ids).logits)


def test_the_dtype_is_the_one_asked_for(model_folder: Path) -> None:
    assert load_pretrained(str(model_folder), torch.bfloat16)[0].dtype == torch.bfloat16


def test_padding_defaults_to_the_end_of_sequence_token(model_folder: Path) -> None:
    assert load_pretrained(model_folder)[1].pad_token == "<end>"
    tiny_tokeniser(eos_token="<end>", pad_token="<unk>").save_pretrained(model_folder)
    assert load_pretrained(model_folder)[1].pad_token == "<unk>"


def test_a_tokeniser_without_end_is_refused(model_folder: Path) -> None:
    tiny_tokeniser(pad_token="<unk>").save_pretrained(model_folder)
    with pytest.raises(UserError, match="no end-of-sequence token"):
        load_pretrained(model_folder)


def test_weights_that_can_run_code_are_not_read(model_folder: Path) -> None:
    weights = load_file(model_folder / "model.safetensors")
    (model_folder / "model.safetensors").unlink()
    torch.save(weights, model_folder / "pytorch_model.bin")
    with pytest.raises(UserError, match=r"cannot load .*safetensors") as caught:
        load_pretrained(model_folder)
    assert "\n" not in str(caught.value)


def test_code_that_comes_with_a_model_is_not_run(model_folder: Path) -> None:
    file = model_folder / "config.json"
    settings = json.loads(file.read_text()) | {
        "model_type": "unheard-of",
        "auto_map": {"AutoConfig": "code.Config", "AutoModelForCausalLM": "code.Model"},
    }
    file.write_text(json.dumps(settings))
    (model_folder / "code.py").write_text("raise SystemExit('ran')")
    with pytest.raises(UserError, match="cannot load"):
        load_pretrained(model_folder)


def test_missing_weights_are_an_error_and_not_drawn_at_random(model_folder: Path) -> None:
    file = model_folder / "model.safetensors"
    weights = load_file(file)
    del weights["model.layers.1.mlp.up_proj.weight"], weights["model.norm.weight"]
    save_file(weights, file, {"format": "pt"})
    with pytest.raises(UserError, match=r"mlp.up_proj.weight and 1 more.*LlamaForCausalLM"):
        load_pretrained(model_folder)


def test_an_encoder_is_refused(model_folder: Path) -> None:
    config = BertConfig(
        vocab_size=len(tiny_vocabulary()),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        is_decoder=True,
    )
    BertModel(config).save_pretrained(model_folder)
    with pytest.raises(UserError, match=r"lack cls.predictions.*causal language modelling"):
        load_pretrained(model_folder)


def test_broken_files_are_one_line(model_folder: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(model_folder, broken)
    (broken / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(UserError, match="cannot load") as caught:
        load_pretrained(broken)
    assert "\n" not in str(caught.value)
    (model_folder / "tokenizer.json").unlink()
    with pytest.raises(UserError, match="cannot load the tokeniser of") as caught:
        load_pretrained(model_folder)
    assert "\n" not in str(caught.value)


def test_a_near_miss_is_suggested_only_when_the_hub_fails(no_hub: None) -> None:
    with pytest.raises(UserError, match="Did you mean the packaged model 'smollm2-135m'"):
        load_pretrained("SmolLM-135m")
    with pytest.raises(UserError) as caught:
        load_pretrained("owner/unlike-anything")
    assert "Did you mean" not in str(caught.value)


def test_a_hub_model_is_loaded_from_its_snapshot(
    monkeypatch: pytest.MonkeyPatch, model_folder: Path
) -> None:
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", lambda *args, **options: None)
    monkeypatch.setattr(
        huggingface_hub, "snapshot_download", lambda hub_id, **options: str(model_folder)
    )
    assert load_pretrained("owner/model")[0].config.hidden_size == 32
