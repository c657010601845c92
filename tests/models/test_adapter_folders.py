"""Folders that hold an adapter alone: found, loaded with their base, or refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import ebmlm
from ebmlm.errors import UserError
from ebmlm.models import PACKAGED_MODELS, adapter_config, attach, load_pretrained
from ebmlm.models.load import recorded_name
from tests.models.test_adapters import TYPES, perturb

pytest.importorskip("peft")

TOKENS = torch.arange(9).unsqueeze(0)


@pytest.fixture
def adapter_folder(model_folder: Path, tmp_path: Path) -> Path:
    """An adapter that does something, on a base in a folder of its own."""
    model, _ = load_pretrained(model_folder)
    made = attach(model, adapter_config(TYPES["LoRA"]))
    perturb(made)
    made.save_pretrained(str(tmp_path / "adapter"), save_embedding_layers=False)
    return tmp_path / "adapter"


def edit(folder: Path, **changes: Any) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_it_holds_the_adapter_alone_and_names_its_base(
    adapter_folder: Path, model_folder: Path
) -> None:
    names = {path.name for path in adapter_folder.iterdir()}
    assert names == {"adapter_config.json", "adapter_model.safetensors", "README.md"}
    recorded = json.loads((adapter_folder / "adapter_config.json").read_text())
    assert recorded["base_model_name_or_path"] == str(model_folder.absolute())


def test_load_gives_a_policy_around_the_base(
    adapter_folder: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(adapter_folder.parent)
    policy, tokeniser = ebmlm.load("adapter")
    assert len(tokeniser) == len(load_pretrained(model_folder)[1])
    base, _ = load_pretrained(model_folder)
    with policy.model.disable_adapter():
        torch.testing.assert_close(
            policy.model(input_ids=TOKENS).logits, base(input_ids=TOKENS).logits
        )
    loaded: Any = load_pretrained(adapter_folder)[0]
    merged = loaded.merge_and_unload()
    on = policy.model(input_ids=TOKENS).logits
    torch.testing.assert_close(on, merged(input_ids=TOKENS).logits, atol=1e-5, rtol=0)
    assert (on - base(input_ids=TOKENS).logits).abs().max() > 1e-3


def test_a_merged_model_is_a_model_folder(adapter_folder: Path, tmp_path: Path) -> None:
    """As docs/peft.md tells."""
    policy, tokeniser = ebmlm.load(str(adapter_folder))
    expected = policy.model(input_ids=TOKENS).logits
    policy.model.merge_and_unload().save_pretrained(tmp_path / "merged")
    tokeniser.save_pretrained(tmp_path / "merged")
    merged, _ = load_pretrained(tmp_path / "merged")
    torch.testing.assert_close(merged(input_ids=TOKENS).logits, expected, atol=1e-5, rtol=0)


def test_the_base_may_be_held_in_bfloat16(adapter_folder: Path) -> None:
    model, _ = load_pretrained(adapter_folder, base_dtype=torch.bfloat16)
    exact, _ = load_pretrained(adapter_folder)
    theirs = dict(exact.named_parameters())
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.dtype == torch.float32
            assert torch.equal(parameter, theirs[name])
        else:
            assert parameter.dtype == torch.bfloat16
    assert all(
        buffer.dtype == torch.float32 for buffer in model.buffers() if buffer.is_floating_point()
    )


def test_a_packaged_base_is_recorded_by_its_name(
    model_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import ebmlm.models.load as module

    resolve = module.resolve
    monkeypatch.setattr(
        module, "resolve", lambda name: model_folder if name in PACKAGED_MODELS else resolve(name)
    )
    model, _ = load_pretrained("smollm2-135m")
    attach(model, adapter_config(TYPES["LoRA"])).save_pretrained(
        str(tmp_path / "adapter"), save_embedding_layers=False
    )
    recorded = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert recorded["base_model_name_or_path"] == "smollm2-135m"
    assert load_pretrained(tmp_path / "adapter")[0].name_or_path == "smollm2-135m"
    # The base itself does not tell its name.
    model, _ = load_pretrained("smollm2-135m")
    model.save_pretrained(str(tmp_path / "whole"))
    assert "smollm2" not in (tmp_path / "whole" / "config.json").read_text()


def test_a_hub_id_is_recorded_as_it_is() -> None:
    assert recorded_name("owner/model") == "owner/model"


def test_its_own_tokeniser_comes_first(adapter_folder: Path, model_folder: Path) -> None:
    _, tokeniser = load_pretrained(model_folder)
    tokeniser.pad_token = "<unk>"
    tokeniser.save_pretrained(adapter_folder)
    assert load_pretrained(adapter_folder)[1].pad_token == "<unk>"
    assert load_pretrained(model_folder)[1].pad_token == "<end>"


def test_a_base_that_is_gone_is_named(adapter_folder: Path, model_folder: Path) -> None:
    shutil.move(model_folder, model_folder.with_name("moved"))
    with pytest.raises(UserError, match=r"base_model_name_or_path.*no folder"):
        load_pretrained(adapter_folder)
    edit(adapter_folder, base_model_name_or_path=None)
    with pytest.raises(UserError, match="does not say which model"):
        load_pretrained(adapter_folder)
    edit(adapter_folder, base_model_name_or_path=str(adapter_folder))
    with pytest.raises(UserError, match="is an adapter too: merge"):
        load_pretrained(adapter_folder)


def test_files_that_are_incomplete_or_of_another_model_are_refused(
    adapter_folder: Path, model_folder: Path, tmp_path: Path
) -> None:
    from tests.models.conftest import tiny_model

    wide = tmp_path / "wide"
    shutil.copytree(model_folder, wide)
    tiny_model(hidden_size=48).save_pretrained(wide)
    edit(adapter_folder, base_model_name_or_path=str(wide))
    with pytest.raises(UserError, match="does not fit its base"):
        load_pretrained(adapter_folder)
    edit(adapter_folder, base_model_name_or_path=str(model_folder), target_modules=["q_proj"])
    with pytest.raises(UserError, match="does not fit its base: unexpected weight"):
        load_pretrained(adapter_folder)
    edit(adapter_folder, target_modules=["embed_tokens", "q_proj"])
    with pytest.raises(UserError, match="does not fit its base: missing weight"):
        load_pretrained(adapter_folder)
    (adapter_folder / "adapter_model.safetensors").unlink()
    with pytest.raises(UserError, match=r"no adapter_model.safetensors"):
        load_pretrained(adapter_folder)
    (adapter_folder / "adapter_config.json").write_text("[]")
    with pytest.raises(UserError, match="it is no adapter's file"):
        load_pretrained(adapter_folder)
