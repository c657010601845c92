"""The passes that are timed: each as we make it, as its naive twin does, and its floor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from ebmlm.benchmark.floors import floor_features, floor_rollouts, floor_score
from ebmlm.benchmark.twins import twin_features, twin_log_probs, twin_rollouts
from ebmlm.benchmark.workload import Workload

__all__ = ["CASES", "Call", "Case"]

Call = Callable[[], object]


@dataclass(frozen=True)
class Case:
    """One pass over one workload.

    Attributes:
        name: as the command line calls it.
        ours: the package's way.
        twin: the same numbers, naively.
        floor: as many tokens in the plainest pass.
        tokens: of trunk and branches.
        flops: products and sums that the pass needs, without what is done twice to save memory.
    """

    name: str
    ours: Call
    twin: Call
    floor: Call
    tokens: int
    flops: int


def rollout(workload: Workload) -> Case:
    """Draw every rollout of the sequence."""
    everything = workload.everything()
    return Case(
        "rollout",
        workload.call(workload.draw),
        workload.call(lambda: twin_rollouts(workload.model, workload.rollouts)),
        workload.call(lambda: floor_rollouts(workload, everything)),
        workload.sizes.tokens,
        workload.body_flops() + workload.head_flops(),
    )


def features(workload: Workload) -> Case:
    """See rollouts and references through the frozen network."""
    everything = workload.everything()
    layers = workload.features.layers
    return Case(
        "features",
        workload.call(lambda: workload.features(workload.rollouts)),
        workload.call(lambda: twin_features(workload.network, workload.rollouts, layers)),
        workload.call(lambda: floor_features(workload, everything)),
        workload.sizes.tokens,
        workload.body_flops(workload.deepest),
    )


def score(workload: Workload) -> Case:
    """Score the rollouts, forward and backward."""
    everything = workload.everything()
    return Case(
        "score",
        workload.call(lambda: _score(workload)),
        workload.call(lambda: _twin_score(workload)),
        workload.call(lambda: floor_score(workload, everything)),
        workload.sizes.tokens,
        3 * (workload.body_flops() + workload.head_flops()),
    )


def step(workload: Workload) -> Case:
    """Draw, look, judge, score and take the gradient: what a training step does to a sequence."""
    parts = [rollout(workload), features(workload), score(workload)]
    objective = workload.objective()

    def ours() -> None:
        with workload.endless():
            generator = torch.Generator().manual_seed(1)
            loss = objective.loss(workload.model, workload.batch, generator=generator).loss
        loss.backward()
        workload.model.model.zero_grad()

    return Case(
        "step",
        workload.call(ours),
        lambda: [part.twin() for part in parts],
        lambda: [part.floor() for part in parts],
        workload.sizes.tokens,
        sum(part.flops for part in parts),
    )


CASES: dict[str, Callable[[Workload], Case]] = {
    "rollout": rollout,
    "features": features,
    "score": score,
    "step": step,
}
"""Every pass, by the name that the command line has for it."""


def _score(workload: Workload) -> None:
    workload.model.score(workload.rollouts).completions.sum().backward()
    workload.model.model.zero_grad()


def _twin_score(workload: Workload) -> None:
    for sample in range(workload.sizes.samples):
        twin_log_probs(workload.model, workload.rollouts, sample).sum().backward()
    workload.model.model.zero_grad()
