"""What limits learning: how much of EBFT's gradient is signal, and where the rest comes from.

    python examples/studies/claim/limits.py --task text --output runs/limits/text.json

Gradients of the starting model on the same sequences, each drawn twice, for the method as published
with one thing changed at a time. Of every setting: the signal by the noise of one sequence, which
part of the noise comes from the text and which from the draws, and the tokens drawn for it.
docs/results.md has what came out.
"""

# %%
from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from plan import PRIMARY, task

from ebmlm.data import PairData, collate
from ebmlm.distribution import Categorical
from ebmlm.energies import inner_product
from ebmlm.estimators import RLOO, GroupNorm
from ebmlm.evaluation.gradient_noise import expected_cosine, gradient_sketches, noise_sources
from ebmlm.features import (
    Depths,
    HiddenStateFeatures,
    MeanToken,
    Metric,
    MetricWhitening,
    NoWhitening,
)
from ebmlm.objectives import CrossEntropy, Objective, PolicyObjective, recipes
from ebmlm.samplers import CompletionAnchors, StridedAnchors, SurprisingAnchors
from ebmlm.training.start import load_policy

parser = argparse.ArgumentParser(description="Signal and noise of EBFT's gradient.")
parser.add_argument("--task", default="text", choices=list(PRIMARY))
parser.add_argument("--rows", type=int, default=12, help="sequences")
parser.add_argument("--length", type=int, default=128, help="tokens of a sequence of text")
parser.add_argument("--only", nargs="+", help="settings; all by default")
parser.add_argument("--device", default="cpu")
parser.add_argument("--output", type=Path, default=Path("runs/limits.json"))
options = parser.parse_args()

# %% [markdown]
# The starting model, and the rows that gradients are taken on.

# %%
given = task(options.task)
device = torch.device(options.device)
data: Any = given.data
pairs = isinstance(data, PairData)
length = data.length if pairs else options.length
data = dataclasses.replace(
    data, length=length, train_rows=options.rows, validation_rows=1, test_rows=1
)
policy, tokeniser = load_policy(given.model, device)
text = data.prepare(tokeniser)
batches = [collate([text.train[index]]).to(device) for index in range(options.rows)]


def autocast() -> torch.autocast:
    """Passes as in training."""
    return torch.autocast(device.type, torch.bfloat16)


def anchors(stride: int) -> StridedAnchors | CompletionAnchors:
    """Every so many tokens, of a completion where there is one."""
    return CompletionAnchors(stride, 0) if pairs else StridedAnchors(stride, 8)


usual = 4 if pairs else 8
with autocast():
    network = policy.frozen()


def references() -> torch.Tensor:
    """Features of the real continuations of all rows, for a metric that is fixed."""
    features = HiddenStateFeatures(network)
    sampler = recipes.ebft(policy, network=network, anchors=anchors(usual), samples=2).sampler
    found = []
    with torch.no_grad(), autocast():
        for batch in batches:
            drawn = sampler.sample(policy, batch, generator=torch.Generator().manual_seed(0))
            seen = features(drawn).references
            assert seen is not None
            found.append(seen[drawn.anchor_mask].float())
    return torch.cat(found)


# %% [markdown]
# The settings: the published one, and one thing changed at a time.

# %%
metric = MetricWhitening(Metric.of(references(), 0.1))
ebft: Callable[..., PolicyObjective] = partial(
    recipes.ebft, policy, network=network, cross_entropy=0.0
)
at = anchors(usual)
plain = NoWhitening()
dense = anchors(usual // 2)
settings: dict[str, Callable[[], Objective]] = {
    "cross-entropy": CrossEntropy,
    "published": lambda: ebft(anchors=at),
    "no whitening": lambda: ebft(anchors=at, whitening=plain),
    "metric, inner product": lambda: ebft(anchors=at, whitening=metric, similarity=inner_product),
    "unbiased": lambda: ebft(
        anchors=at, whitening=plain, similarity=inner_product, estimator=RLOO()
    ),
    "group norm": lambda: ebft(anchors=at, estimator=GroupNorm()),
    "alignment alone": lambda: ebft(anchors=at, whitening=plain, diversity=0.0),
    "2 samples": lambda: ebft(anchors=at, whitening=plain, samples=2),
    "8 samples": lambda: ebft(anchors=at, whitening=plain, samples=8),
    "16 samples": lambda: ebft(anchors=at, whitening=plain, samples=16),
    "8 samples, half the anchors": lambda: ebft(
        anchors=anchors(2 * usual), whitening=plain, samples=8
    ),
    "2 samples, twice the anchors": lambda: ebft(anchors=dense, whitening=plain, samples=2),
    "surprising anchors": lambda: ebft(anchors=SurprisingAnchors(network, dense), whitening=plain),
    "horizon 4": lambda: ebft(anchors=at, whitening=plain, horizon=4),
    "horizon 16": lambda: ebft(anchors=at, whitening=plain, horizon=16),
    "temperature 0.7": lambda: ebft(anchors=at, whitening=plain, distribution=Categorical(0.7)),
    "mean token": lambda: ebft(anchors=at, whitening=plain, pooling=MeanToken()),
    "lowest quarter": lambda: ebft(anchors=at, whitening=plain, layers=Depths([0.25])),
    "last layer": lambda: ebft(anchors=at, whitening=plain, layers=Depths([1.0])),
}


# %%
def drawn_tokens(objective: Objective) -> float:
    """Tokens that are drawn for a sequence, the mean."""
    if not isinstance(objective, PolicyObjective):
        return 0.0
    sampler = objective.sampler
    anchors = sum(objective.counts(batch).anchors for batch in batches)
    return anchors * sampler.samples * sampler.horizon / len(batches)


# %% [markdown]
# Every sequence's gradient is taken twice, with other draws. Cross-entropy draws nothing.

# %%
parameters = [one for one in policy.model.parameters() if one.requires_grad]
results: dict[str, dict[str, float]] = {}
kept: dict[str, list[torch.Tensor]] = {}
for name in options.only or settings:
    with autocast():
        objective = settings[name]()
        sketches = [
            gradient_sketches(objective, policy, parameters, batches, seed=0, draws=draw)
            for draw in (0, 1)
        ]
    found = noise_sources(sketches)
    if name in ("cross-entropy", "no whitening"):
        kept[name] = sketches
    results[name] = {
        **dataclasses.asdict(found),
        "drawn_tokens": drawn_tokens(objective),
        **{f"cosine with {other}": expected_cosine(sketches, kept[other]) for other in kept},
    }
    print(f"{name}: " + ", ".join(f"{key} {value:.4g}" for key, value in results[name].items()))
    options.output.parent.mkdir(parents=True, exist_ok=True)
    partial_file = options.output.with_suffix(".partial")
    partial_file.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    partial_file.replace(options.output)
