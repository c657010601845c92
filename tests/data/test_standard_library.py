from __future__ import annotations

import sysconfig
from pathlib import Path

import pytest

from ebmlm.data import StandardLibrary
from ebmlm.errors import UserError


def test_running_python_gives_its_sources() -> None:
    corpus = StandardLibrary().read()
    keys = [document.key for document in corpus.documents]
    assert {"dataclasses.py", "json/decoder.py", "importlib/__init__.py"} <= set(keys)
    assert keys == sorted(set(keys))
    folders = {part for key in keys for part in key.split("/")[:-1]}
    assert not folders & {"test", "tests", "idlelib", "lib2to3", "site-packages", "encodings"}
    assert "pydoc_data/topics.py" not in keys
    assert not any("_sysconfigdata" in key for key in keys)
    assert all(document.text.strip() for document in corpus.documents)


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sysconfig, "get_paths", lambda: {"stdlib": str(tmp_path)})
    return tmp_path


def write(library: Path, name: str, data: bytes) -> None:
    path = library / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def test_files_are_decoded_as_python_would_and_the_rest_counted(library: Path) -> None:
    write(library, "plain.py", "a = 'é'\r\n".encode())
    write(library, "latin.py", b"# coding: latin-1\na = '\xe9'\n")
    write(library, "bad.py", b"a = '\xe9'\n")
    write(library, "unknown.py", b"# coding: nonsense\n")
    write(library, "blank.py", b"\n\n")
    write(library, "notes.txt", b"not Python")
    corpus = StandardLibrary().read()
    assert [(each.key, each.text) for each in corpus.documents] == [
        ("latin.py", "# coding: latin-1\na = 'é'\n"),
        ("plain.py", "a = 'é'\n"),
    ]
    assert corpus.skipped == {"undecodable": 2, "blank": 1}


@pytest.mark.parametrize(
    "name",
    [
        "test/a.py",
        "unittest/tests/a.py",
        "idlelib/a.py",
        "lib2to3/pgen2/a.py",
        "site-packages/torch/a.py",
        "encodings/cp1252.py",
        "pydoc_data/topics.py",
        "_sysconfigdata__linux.py",
    ],
)
def test_what_is_not_the_library_proper_is_left_out(library: Path, name: str) -> None:
    write(library, "kept.py", b"1\n")
    write(library, name, b"2\n")
    assert [each.key for each in StandardLibrary().read().documents] == ["kept.py"]


def test_python_without_sources_is_an_error(library: Path) -> None:
    with pytest.raises(UserError, match="no standard-library sources"):
        StandardLibrary().read()
