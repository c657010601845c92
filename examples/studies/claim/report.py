"""What the study found, as tables.

    python examples/studies/claim/report.py --output runs/claim

Differences are paired: same held-out items, same draws, same seeds of training. Their 95 %
intervals are over items and seeds (ebmlm.evaluation.seeds).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from arms import ARMS, MAIN, RATES, VARIANTS
from plan import PRIMARY, Run, Study

from ebmlm.evaluation.report import EvaluationReport
from ebmlm.evaluation.seeds import SeededDifference, seeded_difference

MEASURES = {
    "cross_entropy": "cross-entropy",
    "feature_matching_loss": "feature matching",
    "whitened_feature_matching_loss": "whitened",
    "greedy_accuracy": "greedy",
    "pass_at_1": "pass@1",
    "pass_at_4": "pass@4",
    "greedy_score": "greedy score",
    "sample_score": "drawn score",
}
"""Measurements that are shown, and what they are called there."""

SHOWN = {
    "text": list(MEASURES)[:3],
    "answers": list(MEASURES)[:6],
    "translation": [*list(MEASURES)[:3], "greedy_score", "sample_score"],
}

CONTRASTS = (
    ("ebft", "sft"),
    ("ebft", "sft_compute"),
    ("ebft", "rlvr"),
    ("ebft_gamma_0.1", "sft"),
    ("ebft_gamma_0", "ebft"),
    ("ebft_from_sft", "sft"),
    ("ebft_from_sft", "sft_compute"),
    ("rlvr_from_sft", "ebft_from_sft"),
)
"""Pairs of arms that the claim is about: what the first has more than the second."""


class Findings:
    """Measurements after training, by task, arm and seed."""

    def __init__(self, study: Study, seeds: Sequence[int]) -> None:
        self.study = study
        self._seeds = seeds

    def reports(self, task: str, arm: str) -> dict[int, EvaluationReport]:
        """Return the measurements of an arm, by seed."""
        found = {}
        for seed in self._seeds:
            report = Run(task, arm, seed).folder(self.study.output).read_after()
            if report is not None:
                found[seed] = report
        return found

    def difference(
        self, task: str, arm: str, other: str | None, name: str
    ) -> SeededDifference | None:
        """Compare an arm with another, or with the base model, over the seeds that both have."""
        mine = self.reports(task, arm)
        if other is None:
            theirs = dict.fromkeys(mine, self.study.base(task, final=True))
        else:
            theirs = self.reports(task, other)
        seeds = [seed for seed in mine if seed in theirs]
        if not seeds or name not in mine[seeds[0]].measurements:
            return None
        return seeded_difference(
            [mine[seed].measurements[name] for seed in seeds],
            [theirs[seed].measurements[name] for seed in seeds],
        )

    def level(self, task: str, arm: str, name: str) -> float:
        """Return the mean over seeds and items."""
        values = [report.measurements[name].mean for report in self.reports(task, arm).values()]
        return sum(values) / len(values)

    def arms(self, task: str, names: Iterable[str]) -> list[str]:
        """Return those arms that have come to their end with any seed."""
        return [name for name in names if self.reports(task, name)]


def rates(findings: Findings, task: str) -> list[str]:
    """Return the lines of a table of the learning rates that were tried."""
    name, _ = PRIMARY[task]
    lines = [f"| {task}: {name} | " + " | ".join(f"{rate:g}" for rate in RATES) + " |"]
    lines.append("|---|" + "--:|" * len(RATES))
    for arm in dict.fromkeys(one.rate_of for one in ARMS.values()):
        cells = []
        for rate in RATES:
            after = Run(task, arm, 0, rate).folder(findings.study.output).read_after()
            cells.append("" if after is None else f"{after.measurements[name].mean:.4f}")
        if any(cells):
            chosen = RATES.index(findings.study.rate(task, ARMS[arm]))
            cells[chosen] = f"**{cells[chosen]}**"
            lines.append(f"| {arm} | " + " | ".join(cells) + " |")
    return lines


def levels(findings: Findings, task: str) -> list[str]:
    """Return the lines of the table of arms, with differences from the base model."""
    shown = SHOWN[task]
    lines = [f"| {task} | seeds | " + " | ".join(MEASURES[name] for name in shown) + " |"]
    lines.append("|---|--:|" + "--:|" * len(shown))
    base = findings.study.base(task, final=True)
    cells = [f"{base.measurements[name].mean:.4f}" for name in shown]
    lines.append("| base | | " + " | ".join(cells) + " |")
    for arm in findings.arms(task, MAIN):
        cells = []
        for name in shown:
            found = findings.difference(task, arm, None, name)
            assert found is not None
            cells.append(f"{findings.level(task, arm, name):.4f} ({told(found)})")
        count = len(findings.reports(task, arm))
        lines.append(f"| {arm} | {count} | " + " | ".join(cells) + " |")
    return lines


def contrasts(findings: Findings, task: str, pairs: Iterable[tuple[str, str]]) -> list[str]:
    """Return the lines of a table of paired differences, with the smallest one to be seen."""
    shown = SHOWN[task]
    lines = [f"| {task} | seeds | " + " | ".join(MEASURES[name] for name in shown) + " |"]
    lines.append("|---|--:|" + "--:|" * len(shown))
    for arm, other in pairs:
        found = {name: findings.difference(task, arm, other, name) for name in shown}
        kept = {name: one for name, one in found.items() if one is not None}
        if not kept:
            continue
        cells = [
            f"{told(kept[name])}; {kept[name].detectable():.4f}" if name in kept else ""
            for name in shown
        ]
        count = next(iter(kept.values())).seeds
        lines.append(f"| {arm} less {other} | {count} | " + " | ".join(cells) + " |")
    return lines


def told(found: SeededDifference) -> str:
    """Return a difference and its interval."""
    low, high = found.interval()
    return f"{found.mean:+.4f} [{low:+.4f}, {high:+.4f}]"


def as_json(findings: Findings) -> dict[str, object]:
    """Return every difference from the base model, and of variants from EBFT."""
    result: dict[str, object] = {}
    for task in PRIMARY:
        for arm in findings.arms(task, ARMS):
            for other in (None, "ebft", "sft"):
                for name in SHOWN[task]:
                    found = findings.difference(task, arm, other, name)
                    if found is not None and arm != other:
                        result[f"{task}/{arm}/{other or 'base'}/{name}"] = {
                            "mean": found.mean,
                            "interval": found.interval(),
                            "item_error": found.item_error,
                            "seed_error": found.seed_error,
                            "detectable": found.detectable(),
                            "seeds": found.seeds,
                        }
    return result


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Tables of the study.")
    parser.add_argument("--output", type=Path, default=Path("runs/claim"))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    options = parser.parse_args()
    findings = Findings(Study(options.output), options.seeds)
    blocks = []
    for task in PRIMARY:
        if not Run(task, None).folder(options.output).after.exists():
            continue
        variants = [(name, "ebft") for name in [*VARIANTS, "horizon_late"]]
        blocks += [
            rates(findings, task),
            levels(findings, task),
            contrasts(findings, task, CONTRASTS),
            contrasts(findings, task, variants),
        ]
    text = "\n\n".join("\n".join(lines) for lines in blocks) + "\n"
    print(text)
    (options.output / "results.md").write_text(text, encoding="utf-8")
    (options.output / "results.json").write_text(json.dumps(as_json(findings), indent=1) + "\n")
