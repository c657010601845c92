"""The parity check reads both formats, agrees with honest numbers and only with them."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ebmlm.testing.parity import Comparison, check_folder, main
from tests.helpers import seeded
from tests.testing.parity_numbers import model_tensors, reward_cases, reward_group, save_model

SHARED = Path(__file__).resolve().parents[3] / "shared" / "parity"


@pytest.fixture(scope="module")
def honest() -> tuple[list[dict[str, Any]], dict[bool, dict[str, Tensor]]]:
    return reward_cases(), {masking: model_tensors(masking) for masking in (True, False)}


@pytest.fixture
def folder(tmp_path: Path, honest: Any) -> Path:
    cases, models = honest
    (tmp_path / "rewards.json").write_text(json.dumps(cases))
    for masking, tensors in models.items():
        save_model(tmp_path / f"model_{masking}.safetensors", tensors, masking)
    return tmp_path


def test_honest_numbers_agree(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = check_folder(folder)
    assert all(result.agrees for result in results)
    assert max(result.error for result in results) < 1e-4
    quantities = {result.quantity for result in results}
    assert quantities == {
        "whitened",
        "alignment",
        "diversity",
        "reward",
        "baseline",
        "advantage",
        "completion_log_probs_t0.6",
        "completion_log_probs_t1.0",
        "features",
        "reference_features",
    }
    assert len({result.source for result in results}) == 5
    assert main([str(folder)]) == 0
    printed = capsys.readouterr().out
    assert "DIFFERS" not in printed
    assert f"{len(results)} quantities, 0 over tolerance" in printed


@pytest.mark.parametrize(
    "name", ["whitened", "alignment", "diversity", "reward", "baseline", "advantage"]
)
def test_a_wrong_reward_number_differs(
    folder: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    cases = json.loads((folder / "rewards.json").read_text())
    cases[0][name][-1] += 0.001
    (folder / "rewards.json").write_text(json.dumps(cases))
    assert main([str(folder)]) == 1
    wrong = [line for line in capsys.readouterr().out.splitlines() if "DIFFERS" in line]
    assert len(wrong) == 1
    assert wrong[0].split()[:2] == ["rewards.json[0]", name]


@pytest.mark.parametrize(
    "name",
    [
        "completion_log_probs_t0.6",
        "completion_log_probs_t1.0",
        "features",
        "reference_features",
        "alignment",
        "diversity",
    ],
)
def test_a_wrong_model_number_differs(
    folder: Path, honest: Any, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    tensors = dict(honest[1][True])
    changed = tensors[name].clone()
    changed[0, 0] += 0.001
    save_model(folder / "model_True.safetensors", tensors | {name: changed}, True)
    assert main([str(folder)]) == 1
    wrong = [line for line in capsys.readouterr().out.splitlines() if "DIFFERS" in line]
    assert [line.split()[:2] for line in wrong] == [["model_True.safetensors", name]]


def test_numbers_at_windows_that_cross_documents_mean_nothing(folder: Path, honest: Any) -> None:
    tensors = dict(honest[1][True])
    # Anchor 8 of the second row: its document begins there, so there is no context.
    features = tensors["features"].clone()
    features[1, 1] = 7
    save_model(folder / "model_True.safetensors", tensors | {"features": features}, True)
    assert main([str(folder)]) == 0


def test_nulls_are_not_compared(folder: Path) -> None:
    cases = json.loads((folder / "rewards.json").read_text())
    cases[0]["baseline"][0] = None
    (folder / "rewards.json").write_text(json.dumps(cases))
    assert main([str(folder)]) == 0


@pytest.mark.parametrize(
    ("error", "agrees"),
    [(0.0, True), (1.0, True), (1.1, False), (math.nan, False), (math.inf, False)],
)
def test_an_error_that_is_not_finite_does_not_agree(error: float, agrees: bool) -> None:
    assert Comparison("a file", "a quantity", error, 1.0).agrees == agrees


def test_the_sign_of_a_duplicate_is_free_and_nothing_else_is(folder: Path) -> None:
    features = torch.randn(3, 5, generator=seeded(3), dtype=torch.float64)
    features[1] = features[0]
    features = features / features.norm(dim=-1, keepdim=True)
    reference = torch.tensor([1.0, 0, 0, 0, 0]).double()
    group = reward_group(features, reference, 1.0, True)
    case = {
        "shape": {"batch": 1, "anchor": 1, "sample": 3, "feature": 5},
        "whitening": "sample",
        "diversity_coefficient": 1.0,
        "features": features.flatten().tolist(),
        "reference": reference.tolist(),
    } | {name: value.flatten().tolist() for name, value in group.items()}
    path = folder / "rewards.json"
    path.write_text(json.dumps([case]))
    assert main([str(folder)]) == 0
    case["whitened"][:10] = [-value for value in case["whitened"][:10]]
    path.write_text(json.dumps([case]))
    assert main([str(folder)]) == 0
    case["whitened"][10:] = [-value for value in case["whitened"][10:]]
    path.write_text(json.dumps([case]))
    assert main([str(folder)]) == 1


def test_nothing_to_compare_does_not_pass(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "README.md").write_text("nothing")
    with pytest.raises(FileNotFoundError, match=r"no \.json or \.safetensors file"):
        check_folder(tmp_path)
    assert main([str(tmp_path)]) == 2
    assert main([str(tmp_path / "missing")]) == 2
    assert main([]) == 2
    (tmp_path / "rewards.json").write_text("[]")
    assert main([str(tmp_path)]) == 2
    assert "usage" in capsys.readouterr().err


def test_the_command(folder: Path) -> None:
    command = [sys.executable, "-m", "ebmlm.testing.parity", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "0 over tolerance" in done.stdout


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"no {SHARED.name} folder beside this repository")
def test_the_reference_implementations_numbers_agree() -> None:
    results = check_folder(SHARED)
    assert [result for result in results if not result.agrees] == []
    assert len(results) >= 42
