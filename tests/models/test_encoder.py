"""Text encoders by name: what a folder says, and what is refused."""

from __future__ import annotations

import hashlib
import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from ebmlm.errors import UserError
from ebmlm.features import FirstToken, LastToken, MeanToken
from ebmlm.models import PACKAGED_ENCODERS, load_encoder
from ebmlm.models import encoder as loading
from ebmlm.models import fetch as fetching
from ebmlm.testing.tiny import tiny_encoder
from tests.models.test_fetch import pip_that_writes


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny = tiny_encoder()
    tiny.model.float().save_pretrained(tmp_path / "encoder")
    tiny.tokeniser.save_pretrained(tmp_path / "encoder")
    return tmp_path / "encoder"


def says(folder: Path, modules: list[str], **modes: bool) -> None:
    """Write what sentence-transformers writes."""
    listed = [
        {"idx": n, "name": str(n), "path": f"{n}_{kind}", "type": f"sentence_transformers.x.{kind}"}
        for n, kind in enumerate(modules)
    ]
    (folder / "modules.json").write_text(json.dumps(listed))
    for module in listed:
        if str(module["type"]).endswith("Pooling"):
            place = folder / str(module["path"])
            place.mkdir(exist_ok=True)
            (place / "config.json").write_text(json.dumps(modes))


def test_a_plain_encoder_is_pooled_by_its_mean_and_normalised(folder: Path) -> None:
    encoder = load_encoder(folder)
    assert isinstance(encoder.pooling, MeanToken) and encoder.normalised
    expected = tiny_encoder()
    expected.model.float()
    torch.testing.assert_close(encoder(["012", "2"]), expected(["012", "2"]))
    other = load_encoder(folder, pooling=LastToken(), normalised=False, dtype=torch.bfloat16)
    assert isinstance(other.pooling, LastToken) and not other.normalised
    assert next(other.model.parameters()).dtype == torch.bfloat16


def test_a_folder_says_how_it_pools(folder: Path) -> None:
    says(folder, ["Transformer", "Pooling"], pooling_mode_cls_token=True)
    encoder = load_encoder(folder)
    assert isinstance(encoder.pooling, FirstToken) and not encoder.normalised
    assert load_encoder(folder, normalised=True).normalised


def test_what_it_cannot_do_is_refused(folder: Path) -> None:
    says(folder, ["Transformer", "Pooling"], pooling_mode_max_tokens=True)
    with pytest.raises(UserError, match="pools by max_tokens: give pooling="):
        load_encoder(folder)
    both = {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True}
    says(folder, ["Transformer", "Pooling"], **both)
    with pytest.raises(UserError, match="cls_token and mean_tokens"):
        load_encoder(folder)
    says(folder, ["Transformer", "Pooling", "Dense"], pooling_mode_mean_tokens=True)
    with pytest.raises(UserError, match=r"has a Dense module.*SentenceTransformersEncoder"):
        load_encoder(folder)


def test_what_is_not_there(tmp_path: Path, no_hub: None) -> None:
    with pytest.raises(UserError, match="there is no folder"):
        load_encoder(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"cannot get 'minilm'.*Packaged encoders: minilm-l6"):
        load_encoder("minilm")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="cannot load the encoder"):
        load_encoder(tmp_path / "empty")


def test_a_packaged_encoder_is_its_folder_in_the_wheel(
    folder: Path, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    says(folder, ["Transformer", "Pooling"], pooling_mode_mean_tokens=True)
    path = tmp_path / "made.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("package/__init__.py", "raise SystemExit")
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, f"package/model/{file.relative_to(folder)}")
    content = path.read_bytes()
    packaged = replace(
        PACKAGED_ENCODERS["minilm-l6"],
        requirement="package==1",
        wheel_sha256=hashlib.sha256(content).hexdigest(),
        member="package/model/",
    )
    commands: list[list[str]] = []
    monkeypatch.setattr(fetching.subprocess, "run", pip_that_writes(content, commands))
    monkeypatch.setitem(loading.PACKAGED_ENCODERS, "minilm-l6", packaged)
    found: Any = [load_encoder()(["012"]), load_encoder("minilm-l6")(["012"])]
    assert len(commands) == 1
    torch.testing.assert_close(found[0], load_encoder(folder)(["012"]))
    assert not list(cache.rglob("__init__.py"))
