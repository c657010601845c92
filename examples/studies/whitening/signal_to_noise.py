"""How much of the gradient is signal, by whitening.

The gradient of feature matching alone (no cross-entropy) of the starting model, on the same
rollouts of the same text, once for each whitening. For every one: the share of a batch's gradient
that is signal, and the cosine between its mean gradient and those of the others and of
cross-entropy. docs/whitening.md shows the result of

    python examples/studies/whitening/signal_to_noise.py --output runs/signal_to_noise.json
"""

# %%
from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

import torch
from rich.console import Console

import ebmlm
from ebmlm.data import StandardLibrary, TextData, collate
from ebmlm.energies import cosine, inner_product
from ebmlm.energies.feature_matching import Similarity
from ebmlm.evaluation.gradient_noise import gradient_sketches, signal_to_noise
from ebmlm.features import (
    FeatureSpaceWhitening,
    NoWhitening,
    RunningMetricWhitening,
    SampleSpaceWhitening,
    Whitening,
)
from ebmlm.objectives import CrossEntropy, Objective, recipes

parser = argparse.ArgumentParser(description="Signal and noise of gradients, by whitening.")
parser.add_argument("--batches", type=int, default=24, help="batches of one sequence each")
parser.add_argument("--length", type=int, default=256, help="tokens of a sequence")
parser.add_argument("--warm-up", type=int, default=16, help="batches the running metric sees first")
parser.add_argument("--model", default="smollm2-135m")
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--output", type=Path, default=Path("runs/signal_to_noise.json"))
options = parser.parse_args()
console = Console()

# %% [markdown]
# The model, and rows of text: some for the running metric to get to know, the others to measure on.

# %%
policy, tokeniser = ebmlm.load(options.model)
data = TextData(
    StandardLibrary(),
    length=options.length,
    train_rows=options.batches + options.warm_up,
    validation_rows=1,
)
text = data.prepare(tokeniser)
rows = [collate([text.train[index]]) for index in range(len(text.train))]
warm_up, measured = rows[options.batches :], rows[: options.batches]
network = policy.frozen()


def matching(whitening: Whitening, similarity: Similarity = cosine) -> Objective:
    """EBFT without cross-entropy."""
    return recipes.ebft(
        policy, network=network, whitening=whitening, similarity=similarity, cross_entropy=0.0
    )


running = RunningMetricWhitening(decay=0.9)


objectives: dict[str, Objective] = {
    "none": matching(NoWhitening()),
    "feature space": matching(FeatureSpaceWhitening()),
    "sample space": matching(SampleSpaceWhitening()),
    "metric": matching(running),
    "none, inner product": matching(NoWhitening(), inner_product),
    "metric, inner product": matching(running, inner_product),
    "cross-entropy": CrossEntropy(),
}

# %% [markdown]
# The metric's running average, over batches that are not measured on.

# %%
with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
    for batch in warm_up:
        objectives["metric"].loss(policy, batch)
        objectives["metric"].end_step()

# %% [markdown]
# Gradients of every objective on every batch, as sketches of a million numbers.

# %%
parameters = [one for one in policy.model.parameters() if one.requires_grad]
sketches = {}
for name, objective in objectives.items():
    with torch.autocast("cpu", torch.bfloat16):
        sketches[name] = gradient_sketches(
            objective, policy, parameters, measured, seed=options.seed
        )
    found = signal_to_noise(sketches[name])
    console.print(
        f"{name}: signal / noise {found.ratio:.4f} ({found.standard_error:.4f}) a sequence"
    )

# %% [markdown]
# Mean gradients have noise of their own: a cosine between two of them is lower than between the
# expected gradients that they estimate, the more so the noisier they are.

# %%
means = {name: sketch.double().mean(0) for name, sketch in sketches.items()}
cosines = {
    left: {
        right: float(torch.nn.functional.cosine_similarity(a, b, dim=0))
        for right, b in means.items()
    }
    for left, a in means.items()
}
result = {
    "options": {name: str(value) for name, value in vars(options).items()},
    "signal_to_noise": {
        name: dataclasses.asdict(signal_to_noise(sketch)) for name, sketch in sketches.items()
    },
    "cosine_of_mean_gradients": cosines,
}
options.output.parent.mkdir(parents=True, exist_ok=True)
options.output.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
console.print(f"written to {options.output}")
