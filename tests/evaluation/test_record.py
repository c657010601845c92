from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from ebmlm.errors import UserError
from ebmlm.evaluation import EvaluationComparison, EvaluationRecord, EvaluationReport, Measurement
from ebmlm.evaluation.record import rows_fingerprint
from tests.evaluation.pairs import rows

PAIRS = [("q", "y"), ("alphabet: a", "bcd")]


def record(totals: list[float], **changes: Any) -> EvaluationRecord:
    counts = torch.tensor([2] * len(totals))
    measured = Measurement(torch.tensor(totals).double(), counts)
    names = ("cross_entropy", "alignment")
    report = EvaluationReport(torch.arange(len(totals)), dict.fromkeys(names, measured))
    options = {"seed": 3, "batch_size": 4, "completions": {"horizon": 8, "ks": [1, 2]}}
    found = EvaluationRecord("base", "base", "validation", 3, "f00", options, report)
    return dataclasses.replace(found, **changes)


def written(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content))
    return path


def test_a_record_is_a_file_and_back(tmp_path: Path) -> None:
    kept = record([2.0, 3.0])
    content = kept.to_json()
    assert content["items"] == 2
    assert content["seed"] == 3
    assert content["figures"]["cross_entropy"]["value"] == 1.25
    assert content["figures"]["perplexity"]["interval"][0] > 0
    again = EvaluationRecord.read(written(tmp_path / "a.json", content))
    assert again.to_json() == content


def test_evaluations_from_two_files_compare_in_pairs(tmp_path: Path) -> None:
    before = written(tmp_path / "a.json", record([2.0, 3.0]).to_json())
    after = written(tmp_path / "b.json", record([1.0, 2.0], model="trained").to_json())
    found = EvaluationComparison(EvaluationRecord.read(before), EvaluationRecord.read(after))
    change = found.differences()["cross_entropy"]
    assert (change.value, change.standard_error, change.items) == (-0.5, 0.0, 2)
    content = found.to_json()
    parts = {"before", "after", "differences", "left_out", "other_options", "items", "level"}
    assert set(content) == parts
    assert content["differences"]["perplexity_ratio"]["value"] == pytest.approx(0.60653, abs=1e-5)
    # Of a comparison the second model is read.
    whole = EvaluationRecord.read(written(tmp_path / "c.json", content))
    assert whole.model == "trained"


def test_what_was_measured_in_other_features_is_left_out_and_said() -> None:
    found = EvaluationComparison(record([2.0, 3.0]), record([1.0, 2.0], features="trained"))
    assert found.left_out() == ["alignment"]
    assert list(found.differences()) == ["cross_entropy", "perplexity_ratio"]


def test_other_options_are_said() -> None:
    before = record([2.0, 3.0])
    assert EvaluationComparison(before, record([1.0, 2.0])).other_options() == []
    changed = {"seed": 3, "batch_size": 1, "completions": {"horizon": 9, "ks": [1]}, "more": 1}
    found = EvaluationComparison(before, record([1.0, 2.0], options=changed))
    assert found.other_options() == ["completions.horizon", "completions.ks", "more"]
    # None of completions at all.
    none = record([1.0, 2.0], options={"seed": 3, "completions": None})
    assert "completions.horizon" in EvaluationComparison(before, none).other_options()


@pytest.mark.parametrize("change", [{"rows": "f11"}, {"part": "test"}])
def test_other_rows_do_not_compare(change: dict[str, str]) -> None:
    with pytest.raises(UserError, match="same rows"):
        EvaluationComparison(record([2.0, 3.0]), record([1.0, 2.0], **change))


def test_other_anchors_do_not_compare() -> None:
    other = Measurement(torch.ones(2).double(), torch.tensor([2, 1]))
    report = EvaluationReport(torch.arange(2), {"alignment": other})
    found = EvaluationComparison(record([2.0, 3.0]), record([1.0, 2.0], report=report))
    with pytest.raises(UserError, match="same options"):
        found.differences()


@pytest.mark.parametrize(
    "content",
    ["", "{", "[1]", "{}", '{"report": {}}', '{"after": 3}', '{"report": {"ids": "x"}}'],
)
def test_what_is_no_evaluation_is_refused(content: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(content)
    with pytest.raises(UserError, match=r"a\.json is not an evaluation"):
        EvaluationRecord.read(path)
    with pytest.raises(UserError, match=r"no\.json cannot be read"):
        EvaluationRecord.read(tmp_path / "no.json")


def test_fingerprints_tell_rows_apart() -> None:
    whole = rows_fingerprint(rows(PAIRS))
    assert whole == rows_fingerprint(rows(PAIRS))
    changed = [
        rows(PAIRS)[::-1],
        rows(PAIRS)[:1],
        rows([("q", "n"), PAIRS[1]]),
        [dataclasses.replace(rows(PAIRS)[0], targets=None), rows(PAIRS)[1]],
        [dataclasses.replace(rows(PAIRS)[0], id=5), rows(PAIRS)[1]],
    ]
    assert len({whole, *(rows_fingerprint(other) for other in changed)}) == 6
