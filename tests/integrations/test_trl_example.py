"""The example runs, on a tiny model in place of the packaged one."""

from __future__ import annotations

import runpy
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

import ebmlm
from tests.models.conftest import tiny_model, tiny_tokeniser

SCRIPT = Path(__file__).parents[2] / "examples" / "trl_feature_matching.py"


def test_example_trains_and_prints_what_it_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = ebmlm.TransformersLanguageModel(tiny_model(max_position_embeddings=512))
    tokeniser = tiny_tokeniser(eos_token="<end>", pad_token="<end>")

    def load(name: str) -> tuple[Any, Any]:
        return policy, tokeniser

    monkeypatch.setattr(ebmlm, "load", load)
    before = {name: value.clone() for name, value in policy.model.state_dict().items()}
    main = runpy.run_path(str(SCRIPT))["main"]
    with redirect_stdout(StringIO()) as output:
        main(["--steps", "2"])
    lines = output.getvalue().splitlines()
    (head,) = (number for number, line in enumerate(lines) if line.startswith("step "))
    rows = [line.split() for line in lines[head + 1 :]]
    assert lines[head].split()[1:4] == ["alignment", "diversity", "mean"]
    assert [row[0] for row in rows] == ["1", "2"]
    for row in rows:
        alignment, diversity, mean = map(float, row[1:4])
        assert mean == pytest.approx(diversity - alignment, abs=2e-4)
    after = policy.model.state_dict()
    assert any((after[name] != before[name]).any() for name in before)
