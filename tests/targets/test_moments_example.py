"""The example that meets moments, in small: every arm runs and writes what it measured."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

import ebmlm
from tests.models.conftest import tiny_model, tiny_tokeniser

EXAMPLE = Path(__file__).parents[2] / "examples" / "targets" / "moments.py"


def test_every_arm_is_tuned_and_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str) -> tuple[ebmlm.TransformersLanguageModel, Any]:
        model = ebmlm.TransformersLanguageModel(tiny_model().requires_grad_(True))
        return model, tiny_tokeniser(eos_token="<end>", pad_token="<end>")

    monkeypatch.setattr(ebmlm, "load", load)
    names = runpy.run_path(str(EXAMPLE))
    # The tiny model writes bytes: no words, but letters.
    settings = names["main"].__globals__
    settings.update(NATURE="[a-h]", WHO=("He",), DID=("saw", "had"), UNSEEN_DID=("did",))
    output = tmp_path / "found.json"
    arms = ["dpg", "reverse_kl", "log_variance"]
    monkeypatch.setattr(
        sys,
        "argv",
        ["moments.py", "--steps", "1", "--draws", "64", "--output", str(output), "--arms", *arms],
    )
    names["main"]()
    found = json.loads(output.read_text(encoding="utf-8"))
    assert list(found) == ["base", *arms]
    assert found["base"]["KL(policy | base)"][0] == pytest.approx(0, abs=1e-6)
    for arm in arms:
        assert found[arm]["KL(policy | base)"][0] != 0
        assert 0 < found[arm]["nature"][0] < 1
