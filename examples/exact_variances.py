"""Bias and variance of every way to tune towards a target, side by side on one problem.

Nothing is drawn: three tokens, completions of two, all 6,561 groups of four are listed
(docs/variance.md). ``python examples/exact_variances.py`` prints the table of that page.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ebmlm import RLOO, Energy, Estimator, KLEnergy, Reinforce, SequenceBatch
from ebmlm.distribution import Categorical
from ebmlm.divergences import Divergence, ForwardKL, JensenShannon, ReverseKL, TotalVariation
from ebmlm.estimators import LogVariance, TrajectoryBalance
from ebmlm.targets import (
    DivergenceEnergy,
    EnergyModel,
    FixedPartition,
    GroupPartition,
    LeaveOneOutPartition,
    Partition,
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

HORIZON, ANCHOR, TEMPERATURE = 2, 3, 0.8


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        aim: the divergence from the target whose gradient is estimated.
        way: how.
        bias: length of the expected gradient's error, as a share of the exact gradient's length.
        variance: trace of the gradient's covariance, in squared lengths of the exact gradient.
    """

    aim: str
    way: str
    bias: float
    variance: float


def _seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Problem:
    """A policy, a reference, an energy; KL(policy | target) is 0.852 nats, the forward KL 0.869."""

    def __init__(self) -> None:
        self.policy = TabularLanguageModel(3, 3, generator=_seeded(0))
        self.reference = TabularLanguageModel(3, 3, generator=_seeded(7)).frozen()
        unary = torch.randn(9, generator=_seeded(11), dtype=torch.float64)
        self.energy = TabularEnergy(3, unary)
        self.target = EnergyModel(self.reference, self.energy, TEMPERATURE)
        self.batch = SequenceBatch.of(torch.tensor([[0, 2, 1, 0, 1]]))
        where = (self.batch, ANCHOR, Categorical(), HORIZON)
        self.listed = list_completions(self.policy, *where)
        reference = list_completions(self.reference, *where).log_probs()
        number = self.energy.numbers(self.listed.rollouts)[0, 0]
        self.gibbs, self.log_partition = exact_gibbs(reference, unary[number], TEMPERATURE)

    def exact(self, function: Callable[[Tensor], Tensor]) -> Tensor:
        """Gradient of an f-divergence from the target in the policy's logits."""
        value = exact_divergence(self.listed.log_probs(), self.gibbs, function)
        (gradient,) = torch.autograd.grad(value, self.policy.logits, retain_graph=True)
        return gradient

    def row(
        self,
        aim: str,
        way: str,
        function: Callable[[Tensor], Tensor],
        energy: Energy,
        estimator: Estimator,
        samples: int,
    ) -> Row:
        """Exact bias and variance of an estimator, over all groups of rollouts."""
        moments = estimator_moments(
            self.policy,
            self.policy.logits,
            self.batch,
            anchor=ANCHOR,
            energy=energy,
            estimator=estimator,
            samples=samples,
            horizon=HORIZON,
            reference=self.reference,
        )
        exact = self.exact(function)
        length = exact.norm()
        bias = float((moments.mean - exact).norm() / length)
        return Row(aim, way, bias, float(moments.variance / length.square()))


def measured(samples: int = 4) -> list[Row]:
    """Every line of the table, for groups of that many rollouts."""
    problem = Problem()
    known = FixedPartition(float(problem.log_partition))
    divergences: list[tuple[str, Divergence, Callable[[Tensor], Tensor], list[Partition]]] = [
        ("forward KL", ForwardKL(), forward_kl, [known, GroupPartition(), LeaveOneOutPartition()]),
        ("reverse KL", ReverseKL(), reverse_kl, [known, GroupPartition()]),
        ("Jensen-Shannon", JensenShannon(), jensen_shannon, [known, GroupPartition()]),
        ("total variation", TotalVariation(), total_variation, [known, GroupPartition()]),
    ]
    names = {FixedPartition: "known Z", GroupPartition: "Z of the group"}
    estimators: list[tuple[str, Estimator]] = [("REINFORCE", Reinforce()), ("RLOO", RLOO())]
    rows = []
    for aim, divergence, function, partitions in divergences:
        for partition in partitions:
            energy = DivergenceEnergy(problem.target, divergence, partition)
            for name, estimator in estimators:
                way = f"{name}, {names.get(type(partition), 'Z of the others')}"
                rows.append(problem.row(aim, way, function, energy, estimator, samples))
    regularised = (1 / TEMPERATURE) * problem.energy + KLEnergy()
    balance = TargetEnergy(problem.target)
    log_partition = problem.log_partition.detach()
    others: list[tuple[str, Energy, Estimator]] = [
        ("REINFORCE, energy/T + KL", regularised, Reinforce()),
        ("RLOO, energy/T + KL", regularised, RLOO()),
        ("log-variance, on policy", balance, LogVariance()),
        ("trajectory balance, known Z", balance, TrajectoryBalance(log_partition)),
        ("trajectory balance, Z = 1", balance, TrajectoryBalance(torch.zeros(()))),
    ]
    rows += [
        problem.row("reverse KL", way, reverse_kl, energy, estimator, samples)
        for way, energy, estimator in others
    ]
    return rows


def table(rows: list[Row]) -> str:
    """The rows as a Markdown table; a bias under 1e-10 is rounding, and shown as none."""
    lines = ["| gradient of | estimator | bias | variance |", "|---|---|--:|--:|"]
    for row in rows:
        bias = "0" if row.bias < 1e-10 else f"{row.bias:.3f}"
        lines.append(f"| {row.aim} | {row.way} | {bias} | {row.variance:.2f} |")
    return "\n".join(lines)


def main() -> None:
    """Print the table."""
    print(table(measured()))


if __name__ == "__main__":
    main()
