from __future__ import annotations

import json
from pathlib import Path

import torch

from ebmlm.evaluation import EvaluationReport, Measurement, plot_curves
from ebmlm.evaluation.plots import _HELD_OUT, _measured


def test_curves_are_a_picture(tmp_path: Path) -> None:
    metrics = tmp_path / "metrics.jsonl"
    lines = [{"step": step, "reward": 0.1 * step, "alignment": 1.0} for step in range(1, 5)]
    lines.append({"step": 2, "eval_alignment": 0.5})
    metrics.write_text("".join(json.dumps(line) + "\n" for line in lines))
    counts = torch.tensor([2, 2])
    measured = Measurement(torch.tensor([1.0, 3.0], dtype=torch.float64), counts)
    names = ("cross_entropy", "feature_matching_loss", "alignment", "diversity")
    held_out = EvaluationReport(torch.tensor([0, 1]), dict.fromkeys(names, measured))
    output = tmp_path / "curves.png"
    plot_curves(metrics, output, before=held_out, after=held_out, steps=4)
    assert output.read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in tmp_path.glob("*.png")] == ["curves.png"]


def test_what_was_not_measured_is_no_error(tmp_path: Path) -> None:
    metrics = tmp_path / "metrics.jsonl"
    metrics.write_text("")
    measured = Measurement(torch.tensor([1.0, 3.0], dtype=torch.float64), torch.tensor([2, 2]))
    held_out = EvaluationReport(torch.tensor([0, 1]), {"greedy_accuracy": measured})
    output = tmp_path / "curves.png"
    plot_curves(metrics, output, before=held_out, after=held_out, steps=0)
    assert output.read_bytes().startswith(b"\x89PNG")


def test_panels_are_of_what_was_measured() -> None:
    shown = [name for name, _ in _measured(_HELD_OUT, {"gain_lower", "nce_loss", "other"})]
    assert shown == ["gain_lower", "nce_loss", "cross_entropy", "feature_matching_loss"]
    usual = {"cross_entropy", "feature_matching_loss", "alignment", "diversity"}
    assert [name for name, _ in _measured(_HELD_OUT, usual)] == [n for n, _ in _HELD_OUT[:4]]
