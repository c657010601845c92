"""Learning from draws of a target: exact functionals off policy, and what is refused."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ebmlm.distribution import Categorical
from ebmlm.energies import LengthEnergy
from ebmlm.errors import UserError
from ebmlm.estimators import RLOO, Estimator, LogVariance, Reinforce
from ebmlm.estimators.log_variance import TrajectoryBalance
from ebmlm.objectives import PolicyObjective
from ebmlm.rollouts import Scores, SequenceBatch
from ebmlm.samplers import BlockParallelSampler, StridedAnchors
from ebmlm.targets import CountedLanguageModel, EnergyModel, TargetDrawsSampler, TargetEnergy
from ebmlm.targets.samplers import (
    BestOfN,
    ImportanceResampling,
    MetropolisHastings,
    QuasiRejection,
    SequentialMonteCarlo,
    TargetSampler,
)
from ebmlm.testing import TabularLanguageModel
from tests.exact import Toy
from tests.helpers import seeded
from tests.targets.toys import TOYS, exact, target


def elsewhere(toy: Toy) -> Tensor:
    """A distribution (completion,) with full support that is neither policy nor target."""
    log_probs = toy.log_probabilities(toy.model).detach()
    noise = torch.randn(len(log_probs), generator=seeded(5), dtype=torch.float64)
    return torch.where(log_probs > -torch.inf, noise, -torch.inf).softmax(-1)


def groups_gradient(toy: Toy, estimator: Estimator, drawn_from: Tensor, samples: int) -> Tensor:
    """Exact mean of the gradient over all groups drawn from a distribution (completion,)."""
    model, ours = toy.model, target(toy)
    groups = toy.groups(samples)
    log_probs = model.score(groups).completions
    terms = TargetEnergy(ours)(groups, Scores(log_probs.detach()))
    index = torch.cartesian_prod(*[torch.arange(len(drawn_from))] * samples)
    weights = drawn_from[index].prod(-1)
    assert float(weights.sum()) == pytest.approx(1, abs=1e-12)
    total = torch.zeros_like(model.logits)
    for row, weight in enumerate(weights.tolist()):
        one = groups.rows(row, row + 1)
        scored = model.score(one).completions
        part = type(terms)(terms.unary[row : row + 1])
        (gradient,) = torch.autograd.grad(estimator(scored, part, one).loss, model.logits)
        total += weight * gradient
    return total


@pytest.mark.parametrize("samples", [2, 3])
@pytest.mark.parametrize("name", ["plain", "end token", "cold"])
def test_off_policy_the_gradient_is_that_of_the_variance(name: str, samples: int) -> None:
    toy = TOYS[name]
    if samples == 3 and len(toy.listed()) > 5:
        toy = TOYS["plain"]
    ours, drawn_from = target(toy), elsewhere(toy)
    density = ours.log_density(toy.groups(1))[:, 0, 0]
    model = toy.model
    gap = toy.log_probabilities(model) - density
    mean = (drawn_from * gap).sum()
    functional = (drawn_from * (gap - mean).square()).sum() / 2
    (expected,) = torch.autograd.grad(functional, model.logits)
    found = groups_gradient(toy, LogVariance(), drawn_from, samples)
    assert expected.abs().max() > 1e-3
    torch.testing.assert_close(found, expected, atol=1e-10, rtol=0)


def test_off_policy_balance_is_the_mean_square() -> None:
    toy = TOYS["end token"]
    ours, drawn_from = target(toy), elsewhere(toy)
    model = toy.model
    gap = toy.log_probabilities(model) - ours.log_density(toy.groups(1))[:, 0, 0] + 0.3
    (expected,) = torch.autograd.grad((drawn_from * gap.square()).sum() / 2, model.logits)
    balance = TrajectoryBalance(torch.tensor(0.3, dtype=torch.float64))
    found = groups_gradient(toy, balance, drawn_from, 2)
    torch.testing.assert_close(found, expected, atol=1e-10, rtol=0)


@pytest.mark.parametrize("name", ["plain", "three tokens", "end token"])
def test_the_minimiser_is_the_target_whatever_was_drawn_from(name: str) -> None:
    toy = TOYS[name]
    ours, drawn_from = target(toy), elsewhere(toy)
    log_probs, _ = exact(toy, ours)
    density = ours.log_density(toy.groups(1))[:, 0, 0]
    model = toy.model
    optimiser = torch.optim.LBFGS(
        [model.logits],
        lr=1,
        max_iter=500,
        tolerance_grad=1e-13,
        tolerance_change=1e-16,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        optimiser.zero_grad()
        gap = toy.log_probabilities(model) - density
        mean = (drawn_from * gap).sum()
        loss = (drawn_from * (gap - mean).square()).sum() / 2
        loss.backward()
        return loss

    assert float(closure().detach()) > 1e-2
    optimiser.step(closure)
    assert float(closure().detach()) < 1e-14
    found = toy.log_probabilities(model).detach()
    torch.testing.assert_close(found, log_probs, atol=1e-6, rtol=0)


SOURCE = BlockParallelSampler(StridedAnchors(3, 2), 3, 4)
SAMPLERS: dict[str, TargetSampler] = {
    "importance": ImportanceResampling(SOURCE, 3),
    "rejection": QuasiRejection(SOURCE, 0.0, 3),
    "chains": MetropolisHastings(SOURCE, steps=2),
    "particles": SequentialMonteCarlo(SOURCE, 3),
    "best": BestOfN(SOURCE, 3),
}


def table() -> TabularLanguageModel:
    return TabularLanguageModel(5, 2, end_tokens=(4,), generator=seeded(0))


def text() -> SequenceBatch:
    return SequenceBatch.of(torch.randint(4, (3, 10), generator=seeded(1)))


@pytest.mark.parametrize("name", SAMPLERS)
def test_draws_are_rollouts_to_learn_from(name: str) -> None:
    plain = EnergyModel(table().frozen(), LengthEnergy(1), distribution=Categorical(0.9))
    sampler = TargetDrawsSampler(plain, SAMPLERS[name])
    assert sampler.samples == SAMPLERS[name].samples
    assert sampler.anchors is SOURCE.anchors
    states = []
    for rows in (3, 1):
        generator = seeded(3)
        drawn = sampler.sample(table(), text().rows(0, rows), generator=generator)
        states.append(generator.get_state())
        assert drawn.completions.shape == (rows, *drawn.anchors.shape[1:], sampler.samples, 3)
        assert drawn.distribution == Categorical(0.9)
    assert torch.equal(*states)
    model = table()
    objective = PolicyObjective(sampler, TargetEnergy(plain), LogVariance())
    estimate = objective.loss(model, text(), generator=seeded(0))
    estimate.loss.backward()
    assert model.logits.grad is not None and model.logits.grad.abs().max() > 1e-3


@pytest.mark.parametrize("estimator", [RLOO(), Reinforce()], ids=["RLOO", "Reinforce"])
def test_policy_gradients_of_other_draws_are_refused(estimator: Estimator) -> None:
    plain = EnergyModel(table().frozen(), LengthEnergy(1))
    sampler = TargetDrawsSampler(plain, SAMPLERS["importance"])
    with pytest.raises(UserError, match="TargetDrawsSampler draws from something else"):
        PolicyObjective(sampler, TargetEnergy(plain), estimator)
    with pytest.raises(UserError, match="the target's own token distribution"):
        sampler.with_distribution(Categorical(0.5))


@pytest.mark.parametrize("name", SAMPLERS)
def test_tokens_drawn_are_counted(name: str) -> None:
    counted = CountedLanguageModel(table())
    ours = EnergyModel(counted, LengthEnergy(1))
    drawn = SAMPLERS[name].draw(ours, text(), generator=seeded(0))
    expected = SAMPLERS[name].draw(
        EnergyModel(table(), LengthEnergy(1)), text(), generator=seeded(0)
    )
    assert torch.equal(drawn.rollouts.completions, expected.rollouts.completions)
    if name in ("importance", "best"):
        candidates = SOURCE.sample(table(), text(), generator=seeded(0))
        assert counted.tokens == int(candidates.token_mask().sum())
    else:
        assert counted.tokens > 0
