"""Exact moments against one group at a time."""

from __future__ import annotations

import itertools

import pytest
import torch

from ebmlm.distribution import Categorical
from ebmlm.energies import FeatureMatchingEnergy, KLEnergy
from ebmlm.errors import UserError
from ebmlm.estimators import RLOO, Estimator, GroupNorm, Reinforce
from ebmlm.features import HiddenStateFeatures
from ebmlm.rollouts import Scores, SequenceBatch
from ebmlm.testing import (
    TabularLanguageModel,
    all_completions,
    estimator_moments,
    expected_gradient,
    group_rollouts,
)
from tests.helpers import seeded


@pytest.mark.parametrize("ends", [(), (1,)])
@pytest.mark.parametrize("estimator", [RLOO(), Reinforce(), GroupNorm()])
def test_mean_and_variance_are_those_of_a_loop(estimator: Estimator, ends: tuple[int, ...]) -> None:
    model = TabularLanguageModel(2, 3, end_tokens=ends, generator=seeded(0))
    reference = TabularLanguageModel(2, 3, end_tokens=ends, generator=seeded(1)).frozen()
    batch = SequenceBatch.of(torch.tensor([[0, 1, 1, 0]]))
    energy = FeatureMatchingEnergy(HiddenStateFeatures(model.frozen())) + 0.3 * KLEnergy()
    where = (model, model.logits, batch, 2, energy, estimator, Categorical(0.7))
    found = estimator_moments(*where, samples=2, horizon=2, reference=reference)
    mean = expected_gradient(*where, samples=2, horizon=2, reference=reference)
    torch.testing.assert_close(found.mean, mean, atol=1e-12, rtol=0)

    variance, listed = 0.0, all_completions(2, 2, ends)
    for group in itertools.product(range(len(listed)), repeat=2):
        rollouts = group_rollouts(batch, 2, listed[list(group)], Categorical(0.7), ends)
        log_probs = model.score(rollouts).completions
        scores = Scores(log_probs.detach(), reference.score(rollouts).completions.detach())
        loss = estimator(log_probs, energy(rollouts, scores), rollouts).loss
        (gradient,) = torch.autograd.grad(loss, model.logits, retain_graph=True)
        probability = float(log_probs.detach().sum().exp())
        variance += probability * float((gradient - mean).square().sum())
    assert variance > 1e-3
    assert float(found.variance) == pytest.approx(variance, abs=1e-12)


def test_too_many_groups_are_refused_by_number() -> None:
    model = TabularLanguageModel(4, 2)
    batch = SequenceBatch.of(torch.tensor([[0, 1, 1, 0]]))
    with pytest.raises(UserError, match="16777216 groups of 6"):
        estimator_moments(
            model, model.logits, batch, 2, KLEnergy(), RLOO(), Categorical(), samples=6, horizon=2
        )
