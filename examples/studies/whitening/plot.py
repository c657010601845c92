"""Draw the figure of docs/whitening.md from comparisons and a measurement of signal and noise.

python examples/studies/whitening/plot.py runs/whitening/results.json \
    --signal-to-noise runs/signal_to_noise.json --output whitening.png
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt

parser = argparse.ArgumentParser(description="Draw what whitenings did.")
parser.add_argument("results", type=Path, nargs="+", help="results.json of `ebmlm compare`")
parser.add_argument("--signal-to-noise", type=Path, required=True)
parser.add_argument("--output", type=Path, default=Path("whitening.png"))
options = parser.parse_args()

arms: dict[str, Any] = {}
for path in options.results:
    arms |= json.loads(path.read_text(encoding="utf-8"))["arms"]
ratios = json.loads(options.signal_to_noise.read_text(encoding="utf-8"))["signal_to_noise"]

figure, (likelihood, matching, signal) = plt.subplots(1, 3, figsize=(13, 3.4), layout="constrained")
for axes, name, title in (
    (likelihood, "cross_entropy", "change of cross-entropy (nats a token)"),
    (matching, "feature_matching_loss", "change of feature-matching loss"),
):
    for place, arm in enumerate(sorted(arms, reverse=True)):
        found = arms[arm]["difference"][name]
        axes.errorbar(found["value"], place, xerr=1.96 * found["standard_error"], fmt="o")
    axes.set_yticks(range(len(arms)), [arm.replace("_", " ") for arm in sorted(arms, reverse=True)])
    axes.axvline(0, color="grey", linewidth=0.8)
    axes.set_title(title, fontsize="medium")
for place, name in enumerate(sorted(ratios, reverse=True)):
    found = ratios[name]
    signal.errorbar(found["ratio"], place, xerr=1.96 * found["standard_error"], fmt="o")
signal.set_yticks(range(len(ratios)), sorted(ratios, reverse=True))
signal.set_title("signal / noise of one sequence", fontsize="medium")
signal.axvline(0, color="grey", linewidth=0.8)
for axes in (likelihood, matching, signal):
    axes.grid(axis="x", alpha=0.3)
figure.savefig(options.output, dpi=130)
