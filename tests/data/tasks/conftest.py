"""Packages made for a test, which Python can import."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

import pytest

MakePackage = Callable[..., str]


@pytest.fixture
def make_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakePackage:
    """``make_package(name, **{"file.py": text})``; the cache folder is the test's own, too."""
    monkeypatch.setenv("EBMLM_CACHE", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(str(tmp_path / "site"))

    def make(name: str, files: dict[str, str | bytes]) -> str:
        for relative, content in {"__init__.py": "# a package\n", **files}.items():
            path = tmp_path / "site" / name / relative
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        importlib.invalidate_caches()
        return name

    return make
