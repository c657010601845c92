"""Which estimators of tuning towards a target are exact, and how noisy: all on one small problem.

    python examples/exact_variances.py

A table of three tokens writes two of them, so that every group of rollouts can be listed. Nothing
is sampled: bias and variance are exact. The result is docs/variance.md.
"""

# %%
from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ebmlm import RLOO, Energy, Estimator, KLEnergy, Reinforce, SequenceBatch
from ebmlm.divergences import ForwardKL, JensenShannon, ReverseKL, TotalVariation
from ebmlm.estimators import LogVariance, TrajectoryBalance
from ebmlm.rollouts import Scores
from ebmlm.targets import (
    DivergenceEnergy,
    EnergyModel,
    FixedPartition,
    GroupPartition,
    LeaveOneOutPartition,
    TargetEnergy,
)
from ebmlm.testing import (
    TabularEnergy,
    TabularLanguageModel,
    estimator_moments,
    exact_divergence,
    exact_gibbs,
    forward_kl,
    jensen_shannon,
    list_completions,
    reverse_kl,
    total_variation,
)

ANCHOR, HORIZON, SIZES = 3, 2, (2, 4)

# %% The problem: a policy, the language model that it started from, and an energy.


def _seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


POLICY = TabularLanguageModel(3, 3, generator=_seeded(0))
BASE = TabularLanguageModel(3, 3, generator=_seeded(7)).frozen()
BATCH = SequenceBatch.of(torch.tensor([[0, 1, 1, 0, 1]]))
ENERGY = TabularEnergy(3, torch.randn(9, generator=_seeded(11), dtype=torch.float64))
TARGET = EnergyModel(BASE, ENERGY)


def _log_probs(model: TabularLanguageModel) -> Tensor:
    """Of every completion, with gradient."""
    listed = list_completions(POLICY, BATCH, ANCHOR, TARGET.distribution, HORIZON)
    return model.score(listed.possible().rollouts).completions[0, 0].sum(-1)


def _target() -> tuple[Tensor, float]:
    """Log-probabilities of the target, and its log Z."""
    listed = list_completions(POLICY, BATCH, ANCHOR, TARGET.distribution, HORIZON)
    rollouts = listed.possible().rollouts
    energies = ENERGY(rollouts, Scores(rollouts.log_probs)).unary[0, 0]
    log_probs, log_partition = exact_gibbs(_log_probs(BASE).detach(), energies, 1.0)
    return log_probs, float(log_partition)


# %% What is compared.
@dataclass(frozen=True)
class Way:
    """One way to an estimate of a divergence's gradient."""

    divergence: str
    generator: Callable[[Tensor], Tensor]
    energy: Energy
    estimator: Estimator
    name: str


def ways(log_partition: float) -> Iterator[Way]:
    """Every composition of the table, in its order."""
    known, group, others = FixedPartition(log_partition), GroupPartition(), LeaveOneOutPartition()
    kl, reverse = ForwardKL(), ReverseKL()
    forward = ("KL(target ‖ policy)", forward_kl)
    yield Way(*forward, DivergenceEnergy(TARGET, kl, known), Reinforce(), "log Z known, REINFORCE")
    yield Way(*forward, DivergenceEnergy(TARGET, kl, known), RLOO(), "log Z known, RLOO")
    yield Way(*forward, DivergenceEnergy(TARGET, kl, group), RLOO(), "group's log Z, RLOO")
    yield Way(*forward, DivergenceEnergy(TARGET, kl, others), RLOO(), "others' log Z, RLOO")
    back = ("KL(policy ‖ target)", reverse_kl)
    yield Way(*back, DivergenceEnergy(TARGET, reverse), Reinforce(), "group's log Z, REINFORCE")
    yield Way(
        *back, DivergenceEnergy(TARGET, reverse, known), Reinforce(), "log Z known, REINFORCE"
    )
    yield Way(*back, DivergenceEnergy(TARGET, reverse), RLOO(), "any log Z, RLOO")
    yield Way(*back, ENERGY + KLEnergy(), RLOO(), "energy + KL to the base, RLOO")
    yield Way(*back, TargetEnergy(TARGET), LogVariance(), "log-variance")
    balance = TrajectoryBalance(torch.tensor(log_partition))
    yield Way(*back, TargetEnergy(TARGET), balance, "trajectory balance, log Z known")
    for name, function, divergence in (
        ("Jensen-Shannon", jensen_shannon, JensenShannon()),
        ("total variation", total_variation, TotalVariation()),
    ):
        exact, estimated = (
            DivergenceEnergy(TARGET, divergence, known),
            DivergenceEnergy(TARGET, divergence, group),
        )
        yield Way(name, function, exact, Reinforce(), "log Z known, REINFORCE")
        yield Way(name, function, exact, RLOO(), "log Z known, RLOO")
        yield Way(name, function, estimated, RLOO(), "group's log Z, RLOO")


# %% Exactly.
@dataclass(frozen=True)
class Found:
    """Of each group size: bias and variance, by the exact gradient's length and its square."""

    bias: tuple[float, ...]
    variance: tuple[float, ...]


def measured(way: Way, log_target: Tensor) -> Found:
    """List every group of each size."""
    value = exact_divergence(_log_probs(POLICY), log_target, way.generator)
    (exact,) = torch.autograd.grad(value, POLICY.logits)
    bias, variance = [], []
    for samples in SIZES:
        moments = estimator_moments(
            POLICY,
            POLICY.logits,
            BATCH,
            anchor=ANCHOR,
            energy=way.energy,
            estimator=way.estimator,
            samples=samples,
            horizon=HORIZON,
            reference=BASE,
        )
        bias.append(float((moments.mean - exact).norm() / exact.norm()))
        variance.append(float(moments.variance / exact.square().sum()))
    return Found(tuple(bias), tuple(variance))


def main() -> None:
    """Print the table, in Markdown."""
    log_target, log_partition = _target()
    sizes = [f"N = {size}" for size in SIZES]
    print("| gradient of | by | " + " | ".join(f"bias, {size}" for size in sizes), end=" | ")
    print(" | ".join(f"variance, {size}" for size in sizes) + " |")
    print("|---|---|" + "--:|" * 2 * len(sizes))
    for way in ways(log_partition):
        found = measured(way, log_target)
        biases = ["exact" if bias < 1e-10 else f"{bias:.2f}" for bias in found.bias]
        numbers = [f"{variance:.2f}" for variance in found.variance]
        print("| " + " | ".join([way.divergence, way.name, *biases, *numbers]) + " |")


if __name__ == "__main__":
    main()
