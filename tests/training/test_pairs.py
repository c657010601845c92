"""Every recipe trains on prompt-completion pairs, from a configuration to measured completions."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from ebmlm.cli.main import main
from tests.models.conftest import model_folder  # noqa: F401

CONFIG = """
model: {model}
data:
  class_path: ebmlm.data.PairData
  init_args:
    source:
      class_path: ebmlm.data.JsonLinesPairs
      init_args:
        path: {pairs}
    length: 40
    packing: {packing}
    split:
      class_path: ebmlm.data.HashSplit
      init_args:
        validation: 0.3
        test: 0.1
objective:
{objective}
training:
  steps: 2
  batch_size: 2
  precision: float32
evaluation:
  stride: 2
  context: 0
  horizon: 3
  samples: 2
  completions:
    verifier: {verifier}
    horizon: 5
    samples: 3
    ks: [1, 3]
output: {output}
"""

VERIFIER = """
      class_path: ebmlm.verifiers.RegularExpression
      init_args:
        pattern: "[aeiou]"
"""

OBJECTIVES = {
    "sft": "  class_path: SFT",
    "rlvr": """  class_path: RLVR
  init_args:
    verifier: ebmlm.verifiers.ChrF
    horizon: 5
    samples: 3
    kl: 0.1
    cross_entropy: 0.1
    excess_length: 0.01
    estimator: GroupNorm""",
    "ebft": """  class_path: EBFT
  init_args:
    anchors:
      class_path: CompletionAnchors
      init_args:
        stride: 2
    horizon: 3
    samples: 2
    kl: 0.1""",
}


def trained(folder: Path, model: Path, recipe: str, packing: bool) -> dict[str, Any]:
    pairs = folder / "pairs.jsonl"
    rows = [
        {"prompt": f"say {number} words:", "completion": f" {'word ' * (number % 4 + 1)}"}
        for number in range(24)
    ]
    pairs.write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = folder / "config.yaml"
    config.write_text(
        CONFIG.format(
            model=model,
            pairs=pairs,
            packing=str(packing).lower(),
            objective=OBJECTIVES[recipe],
            verifier=VERIFIER,
            output=folder / "run",
        )
    )
    assert main(["train", str(config)]) == 0
    summary: dict[str, Any] = json.loads((folder / "run" / "summary.json").read_text())
    return summary


@pytest.mark.parametrize("packing", [False, True], ids=["apart", "packed"])
@pytest.mark.parametrize("recipe", OBJECTIVES)
def test_a_recipe_trains_on_pairs(
    recipe: str,
    packing: bool,
    tmp_path: Path,
    model_folder: Path,  # noqa: F811
) -> None:
    summary = trained(tmp_path, model_folder, recipe, packing)
    for name in ("cross_entropy", "feature_matching_loss", "greedy_accuracy", "pass_at_3"):
        assert math.isfinite(summary["before"][name])
        assert math.isfinite(summary["after"][name])
    assert summary["difference"]["cross_entropy"] != 0
    rows = summary["data"]["train"]
    assert (rows["rows"] < rows["pairs"]) == packing
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    steps = [line for line in map(json.loads, lines) if "loss" in line]
    assert len(steps) == 2
    if recipe == "rlvr":
        assert {"score", "solved", "undecided", "kl", "excess_length"} <= steps[0].keys()
        assert 0 <= steps[0]["score"] <= 1
        assert steps[0]["rollout_length"] <= 5


def test_packing_changes_no_likelihood(tmp_path: Path, model_folder: Path) -> None:  # noqa: F811
    found = []
    for packing in (False, True):
        folder = tmp_path / str(packing)
        folder.mkdir()
        found.append(trained(folder, model_folder, "sft", packing)["data"]["train"])
    apart, packed = found
    assert apart["completion_tokens"] == packed["completion_tokens"]
    assert apart["pairs"] == packed["pairs"]
