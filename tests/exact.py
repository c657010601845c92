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
from ebmlm.testing import TabularLanguageModel, all_completions
from tests.helpers import made_rollouts, seeded

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
        listed = self.listed()
        index = torch.tensor(list(itertools.product(range(len(listed)), repeat=samples)))
        completions = listed[index].unsqueeze(1)
        ends = torch.isin(completions, torch.tensor(self.ends, dtype=torch.long)).long()
        batch = SequenceBatch.of(torch.tensor([TEXT]).repeat(len(index), 1))
        return made_rollouts(
            batch,
            torch.full((len(index), 1), ANCHOR),
            completions,
            completion_mask=(ends.cumsum(-1) - ends) == 0,
            distribution=self.distribution,
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
    """Exact mean of an estimator's gradient in the table's logits.

    A loss is a mean over anchors: its gradient in each group's log-probabilities, times the number
    of groups, is what the group alone would give.
    """
    model, groups = toy.model, toy.groups(samples)
    log_probs = model.score(groups).completions
    weights = log_probs.detach().sum((1, 2, 3)).exp()
    leaves = log_probs.detach().requires_grad_(True)
    scores = Scores(log_probs.detach(), toy.reference.score(groups).completions.detach())
    loss = estimator(leaves, energy(groups, scores), groups).loss
    (each,) = torch.autograd.grad(loss * len(weights), leaves)
    weighted = (each * weights[:, None, None, None] * log_probs).sum()
    (gradient,) = torch.autograd.grad(weighted, model.logits)
    return gradient


def exact_gradient(toy: Toy, functional: Callable[[Tensor], Tensor]) -> Tensor:
    """Gradient in the table's logits of a functional of the probabilities (completion,)."""
    model = toy.model
    (gradient,) = torch.autograd.grad(functional(toy.log_probabilities(model).exp()), model.logits)
    return gradient
