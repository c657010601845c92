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
from tests.helpers import packed_batch, raw_model, seeded

SHARED = Path(__file__).resolve().parents[3] / "shared" / "parity"


def _root(matrix: Tensor) -> Tensor:
    """``M^(-1/2)`` from the singular value decomposition, small values dropped."""
    left, values, _ = torch.linalg.svd(matrix)
    kept = values > 1e-10 * values.max()
    inverse = torch.where(kept, values.clamp(min=1e-300).rsqrt(), 0.0)
    root: Tensor = left @ torch.diag(inverse) @ left.T
    return root


def _group(
    features: Tensor, reference: Tensor, coefficient: float, whiten: bool
) -> dict[str, Tensor]:
    """What the format holds for one group of rollouts (sample, feature), one sample at a time."""
    count = len(features)
    operator = _root(features @ features.T) if whiten else torch.eye(count).double()
    white = operator @ features
    copies = operator @ reference.expand(count, -1)
    found: dict[str, list[float]] = {
        name: [] for name in ("alignment", "diversity", "reward", "baseline", "advantage")
    }
    for j in range(count):
        cosine = white[j] @ copies[j] / (white[j].norm() * copies[j].norm())
        found["alignment"].append(2 * float(cosine))
        others = [2 * float(white[j] @ white[k]) for k in range(count) if k != j]
        found["diversity"].append(sum(others) / len(others))
        found["reward"].append(found["alignment"][j] - coefficient * found["diversity"][j])
    for j in range(count):
        baseline = 0.0
        for i in range(count):
            if i != j:
                pairs = [2 * float(white[i] @ white[k]) for k in range(count) if k not in (i, j)]
                pair = sum(pairs) / len(pairs) if pairs else 0.0
                baseline += (found["alignment"][i] - coefficient * pair) / (count - 1)
        found["baseline"].append(baseline)
        found["advantage"].append(found["reward"][j] - baseline)
    return {"whitened": white} | {name: torch.tensor(value) for name, value in found.items()}


def _case(shape: tuple[int, int, int, int], coefficient: float, whiten: bool) -> dict[str, Any]:
    batch, anchor, _, width = shape
    features = torch.randn(shape, generator=seeded(sum(shape)), dtype=torch.float64)
    features = features / features.norm(dim=-1, keepdim=True)
    reference = torch.randn(batch, anchor, width, generator=seeded(1), dtype=torch.float64)
    reference = reference / reference.norm(dim=-1, keepdim=True)
    groups = [
        _group(features[row, place], reference[row, place], coefficient, whiten)
        for row in range(batch)
        for place in range(anchor)
    ]
    names = ("batch", "anchor", "sample", "feature")
    return {
        "shape": dict(zip(names, shape, strict=True)),
        "seed": 0,
        "whitening": "sample" if whiten else None,
        "diversity_coefficient": coefficient,
        "features": features.flatten().tolist(),
        "reference": reference.flatten().tolist(),
    } | {name: torch.stack([one[name] for one in groups]).flatten().tolist() for name in groups[0]}


def _cases() -> list[dict[str, Any]]:
    return [
        _case((2, 3, 4, 9), 1.0, True),
        _case((1, 2, 2, 5), 0.5, True),
        _case((2, 1, 3, 6), 0.5, False),
    ]


CONTEXT, STRIDE, HORIZON, LAYERS = 3, 5, 4, [1, 2]


@torch.no_grad()
def _model_tensors(masking: bool) -> dict[str, Tensor]:
    """Everything by plain passes of one branch at a time in a raw transformers model."""
    raw = raw_model(dtype=torch.float32)
    text = packed_batch()
    sequences, documents = text.sequences[:2], text.documents[:2]
    anchors = list(range(CONTEXT, sequences.shape[1] - HORIZON + 1, STRIDE))
    completions = torch.randint(61, (2, len(anchors), 2, HORIZON), generator=seeded(5))
    shape = completions.shape
    found = {
        "completion_log_probs_t1.0": torch.zeros(shape),
        "completion_log_probs_t0.6": torch.zeros(shape),
        "features": torch.zeros(*shape[:3], 32),
        "reference_features": torch.zeros(*shape[:2], 32),
        "alignment": torch.full(shape[:3], float("nan")),
        "diversity": torch.full(shape[:3], float("nan")),
    }
    for row in range(2):
        for place, anchor in enumerate(anchors):
            same = documents[row] == documents[row, anchor - 1]
            start = int(same.nonzero()[0]) if masking else 0
            prefix = sequences[row, start:anchor].tolist()
            real = sequences[row, anchor : anchor + HORIZON].tolist()
            for number, tokens in enumerate([*completions[row, place].tolist(), real]):
                output = raw(torch.tensor([prefix + tokens]), output_hidden_states=True)
                state = torch.cat([output.hidden_states[layer][0, -1] for layer in LAYERS])
                state = state / state.norm()
                if number == 2:
                    found["reference_features"][row, place] = state
                    continue
                found["features"][row, place, number] = state
                for temperature in (1.0, 0.6):
                    logits = output.logits[0, len(prefix) - 1 : -1] / temperature
                    scores = logits.log_softmax(-1).gather(1, torch.tensor(tokens)[:, None])[:, 0]
                    found[f"completion_log_probs_t{temperature}"][row, place, number] = scores
            group = _group(
                found["features"][row, place].double(),
                found["reference_features"][row, place].double(),
                1.0,
                True,
            )
            found["alignment"][row, place] = group["alignment"]
            found["diversity"][row, place] = group["diversity"]
    weights = {f"model.{name}": value for name, value in raw.state_dict().items()}
    text_tensors = {"sequences": sequences, "documents": documents, "completions": completions}
    return {name: value.contiguous() for name, value in (weights | text_tensors | found).items()}


def _save_model(path: Path, tensors: dict[str, Tensor], masking: bool) -> None:
    from safetensors.torch import save_file

    meta = {
        "config": raw_model(dtype=torch.float32).config.to_dict(),
        "stride": STRIDE,
        "context": CONTEXT,
        "horizon": HORIZON,
        "samples": 2,
        "document_masking": masking,
        "layers": LAYERS,
        "whitening": "sample",
    }
    save_file(tensors, path, {"meta": json.dumps(meta)})


@pytest.fixture(scope="module")
def honest() -> tuple[list[dict[str, Any]], dict[bool, dict[str, Tensor]]]:
    return _cases(), {masking: _model_tensors(masking) for masking in (True, False)}


@pytest.fixture
def folder(tmp_path: Path, honest: Any) -> Path:
    cases, models = honest
    (tmp_path / "rewards.json").write_text(json.dumps(cases))
    for masking, tensors in models.items():
        _save_model(tmp_path / f"model_{masking}.safetensors", tensors, masking)
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
    _save_model(folder / "model_True.safetensors", tensors | {name: changed}, True)
    assert main([str(folder)]) == 1
    wrong = [line for line in capsys.readouterr().out.splitlines() if "DIFFERS" in line]
    assert [line.split()[:2] for line in wrong] == [["model_True.safetensors", name]]


def test_numbers_at_windows_that_cross_documents_mean_nothing(folder: Path, honest: Any) -> None:
    tensors = dict(honest[1][True])
    # Anchor 8 of the second row: its document begins there, so there is no context.
    features = tensors["features"].clone()
    features[1, 1] = 7
    _save_model(folder / "model_True.safetensors", tensors | {"features": features}, True)
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
    group = _group(features, reference, 1.0, True)
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
