"""Exact moments against one group at a time."""

from __future__ import annotations

import pytest
import torch

from ebmlm.distribution import Categorical, Greedy, TokenDistribution
from ebmlm.energies import FeatureMatchingEnergy, FunctionEnergy, KLEnergy
from ebmlm.errors import UserError
from ebmlm.estimators import RLOO, Estimator, GroupNorm, Reinforce
from ebmlm.features import HiddenStateFeatures
from ebmlm.rollouts import SequenceBatch
from ebmlm.testing import GradientMoments, TabularEnergy, estimator_moments, list_completions
from ebmlm.testing.bugs.language_models import ShiftedParents
from tests.exact import ANCHOR, Toy, one_group_at_a_time

TOYS = {
    "plain": Toy(),
    "end token": Toy(vocabulary=3, ends=(1,)),
    "cold with end token": Toy(ends=(1,), horizon=3, distribution=Categorical(0.6)),
}


def moments(toy: Toy, energy, estimator: Estimator, samples: int = 2) -> GradientMoments:
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
    )


@pytest.mark.parametrize("name", TOYS)
@pytest.mark.parametrize("estimator", [RLOO(), Reinforce(), GroupNorm()])
def test_mean_and_variance_are_those_of_a_loop(name: str, estimator: Estimator) -> None:
    toy = TOYS[name]
    energy = FeatureMatchingEnergy(HiddenStateFeatures(toy.model.frozen())) + 0.7 * KLEnergy()
    found = moments(toy, energy, estimator)
    mean, variance = one_group_at_a_time(toy, 2, energy, estimator)
    torch.testing.assert_close(found.mean, mean, atol=1e-12, rtol=0)
    assert variance > 1e-3
    assert float(found.variance) == pytest.approx(variance, abs=1e-12)


def test_a_baseline_takes_off_what_energies_share() -> None:
    energy = FunctionEnergy(lambda rollouts: 3.0 + rollouts.completions[..., 0])
    plain, left_out = (moments(TOYS["plain"], energy, part) for part in (Reinforce(), RLOO()))
    torch.testing.assert_close(plain.mean, left_out.mean, atol=1e-10, rtol=0)
    assert left_out.variance < plain.variance / 2


def test_too_many_groups_are_refused_by_number() -> None:
    with pytest.raises(UserError, match="16777216 groups of 6"):
        moments(Toy(vocabulary=4), KLEnergy(), RLOO(), samples=6)


TRUNCATED = [Categorical(top_k=2), Categorical(0.7, top_p=0.6), Categorical(1.5, 2, 0.7)]


@pytest.mark.parametrize("distribution", TRUNCATED)
def test_truncated_distributions_count_what_can_be_drawn(distribution: TokenDistribution) -> None:
    """Against a loop over groups with the probabilities that truncation leaves."""
    toy = Toy(vocabulary=3, ends=(1,), distribution=distribution)
    batch = toy.groups(1).batch.rows(0, 1)
    listed = list_completions(toy.model, batch, ANCHOR, distribution, toy.horizon)
    probabilities = listed.log_probs().exp()
    assert float(probabilities.detach().sum()) == pytest.approx(1, abs=1e-12)
    assert (probabilities == 0).any()
    energy = FunctionEnergy(lambda rollouts: rollouts.completions.double().sum(-1))
    found = moments(toy, energy, RLOO())

    model = toy.model
    listed = list_completions(model, batch, ANCHOR, distribution, toy.horizon)
    mean = listed.log_probs().exp() @ listed.tokens.double().sum(-1)
    (expected,) = torch.autograd.grad(mean, model.logits)
    torch.testing.assert_close(found.mean, expected, atol=1e-10, rtol=0)
    alone, variance = one_group_at_a_time(toy, 2, energy, RLOO())
    torch.testing.assert_close(found.mean, alone, atol=1e-12, rtol=0)
    assert float(found.variance) == pytest.approx(variance, abs=1e-12)


def test_greedy_distributions_are_refused() -> None:
    with pytest.raises(UserError, match="no policy gradient"):
        moments(Toy(distribution=Greedy()), KLEnergy(), RLOO())


def test_models_that_do_not_add_up_are_refused() -> None:
    wrong = ShiftedParents()
    batch = SequenceBatch.of(torch.tensor([[0, 1, 2, 1]]))
    with pytest.raises(UserError, match="add up to"):
        estimator_moments(
            wrong,
            wrong.logits,
            batch,
            anchor=2,
            energy=TabularEnergy(3, torch.zeros(3, dtype=torch.float64)),
            estimator=RLOO(),
            samples=2,
            horizon=1,
        )


def test_one_sequence_at_a_time() -> None:
    model = Toy().model
    batch = SequenceBatch.of(torch.zeros(2, 4, dtype=torch.long))
    with pytest.raises(UserError, match="2 sequences"):
        estimator_moments(
            model,
            model.logits,
            batch,
            anchor=2,
            energy=KLEnergy(),
            estimator=RLOO(),
            samples=2,
            horizon=1,
        )
