"""All groups of rollouts of a table at once: exact expectations without sampling noise."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ebmlm.distribution import Categorical, TokenDistribution
from ebmlm.energies import Energy
from ebmlm.estimators import Estimator
from ebmlm.language_model import LanguageModel
from ebmlm.rollouts import Rollouts, Scores, SequenceBatch
from ebmlm.testing import (
    TabularLanguageModel,
    all_completions,
    estimator_moments,
    group_rollouts,
    list_completions,
)
from tests.helpers import seeded

TEXT = (0, 1, 1, 0, 1, 0, 0)
ANCHOR = 3


@dataclass(frozen=True)
class Toy:
    """A table over a few tokens, asked for completions of a fixed prefix."""

    vocabulary: int = 2
    horizon: int = 2
    ends: tuple[int, ...] = ()
    distribution: TokenDistribution = field(default_factory=Categorical)

    @property
    def model(self) -> TabularLanguageModel:
        return TabularLanguageModel(self.vocabulary, 3, end_tokens=self.ends, generator=seeded(0))

    @property
    def reference(self) -> TabularLanguageModel:
        table = TabularLanguageModel(self.vocabulary, 3, end_tokens=self.ends, generator=seeded(7))
        return table.frozen()

    def listed(self) -> Tensor:
        return all_completions(self.vocabulary, self.horizon, self.ends)

    def groups(self, samples: int) -> Rollouts:
        """Every group of ``samples`` completions, one a row."""
        index = torch.tensor(list(itertools.product(range(len(self.listed())), repeat=samples)))
        batch = SequenceBatch.of(torch.tensor([TEXT]))
        return list_completions(self.model, batch, ANCHOR, self.distribution, self.horizon).groups(
            index
        )

    def log_probabilities(self, model: LanguageModel) -> Tensor:
        """Log-probability (completion,) of every completion, with gradient."""
        return model.score(self.groups(1)).completions.sum(-1)[:, 0, 0]


def expectation(toy: Toy, samples: int, value: Callable[[Rollouts, Scores], Tensor]) -> Tensor:
    """Mean of a value (batch,) over groups drawn from the table."""
    groups = toy.groups(samples)
    with torch.no_grad():
        log_probs = toy.model.score(groups).completions
        reference = toy.reference.score(groups).completions
        weights = log_probs.sum((1, 2, 3)).exp()
        assert abs(float(weights.sum()) - 1) < 1e-12
        return (weights * value(groups, Scores(log_probs, reference))).sum()


def expected_estimate(toy: Toy, samples: int, energy: Energy, estimator: Estimator) -> Tensor:
    """Exact mean of an estimator's gradient in the table's logits."""
    model = toy.model
    return estimator_moments(
        model,
        model.logits,
        toy.groups(1).batch.rows(0, 1),
        anchor=ANCHOR,
        energy=energy,
        estimator=estimator,
        distribution=toy.distribution,
        samples=samples,
        horizon=toy.horizon,
        reference=toy.reference,
    ).mean


def one_group_at_a_time(
    toy: Toy, samples: int, energy: Energy, estimator: Estimator
) -> tuple[Tensor, float]:
    """The naive twin of :func:`ebmlm.testing.estimator_moments`: mean and variance by a loop."""
    model = toy.model
    batch = toy.groups(1).batch.rows(0, 1)
    everything = list_completions(model, batch, ANCHOR, toy.distribution, toy.horizon)
    listed = everything.possible().tokens
    weighted = []
    for group in itertools.product(range(len(listed)), repeat=samples):
        rollouts = group_rollouts(batch, ANCHOR, listed[list(group)], toy.distribution, toy.ends)
        log_probs = model.score(rollouts).completions
        scores = Scores(log_probs.detach(), toy.reference.score(rollouts).completions.detach())
        loss = estimator(log_probs, energy(rollouts, scores), rollouts).loss
        (gradient,) = torch.autograd.grad(loss, model.logits)
        weighted.append((float(log_probs.detach().sum().exp()), gradient))
    mean = sum((weight * gradient for weight, gradient in weighted), torch.zeros(()))
    return mean, sum(weight * float((each - mean).square().sum()) for weight, each in weighted)


def exact_gradient(toy: Toy, functional: Callable[[Tensor], Tensor]) -> Tensor:
    """Gradient in the table's logits of a functional of the probabilities (completion,)."""
    model = toy.model
    (gradient,) = torch.autograd.grad(functional(toy.log_probabilities(model).exp()), model.logits)
    return gradient
