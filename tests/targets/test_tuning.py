"""Tuning towards a target: expected gradients against exact ones, over all groups."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from ebmlm.divergences import (
    Divergence,
    ForwardKL,
    JensenShannon,
    ReverseKL,
    TotalVariation,
)
from ebmlm.energies import KLEnergy
from ebmlm.errors import UserError
from ebmlm.estimators import RLOO, Reinforce
from ebmlm.estimators.log_variance import LogVariance, TrajectoryBalance
from ebmlm.rollouts import Scores
from ebmlm.targets import (
    DivergenceEnergy,
    FixedPartition,
    LeaveOneOutPartition,
    TargetEnergy,
)
from ebmlm.testing import (
    exact_divergence,
    forward_kl,
    jensen_shannon,
    reverse_kl,
    total_variation,
)
from tests.exact import Toy, exact_gradient, expected_estimate
from tests.targets.toys import TOYS, exact, table, target

PAIRS: list[tuple[Divergence, Callable[[Tensor], Tensor]]] = [
    (ForwardKL(), forward_kl),
    (ReverseKL(), reverse_kl),
    (JensenShannon(), jensen_shannon),
    (TotalVariation(), total_variation),
]
IDS = [type(divergence).__name__ for divergence, _ in PAIRS]


@pytest.mark.parametrize(("divergence", "function"), PAIRS, ids=IDS)
def test_divergences_are_their_generators_and_derivatives(
    divergence: Divergence, function: Callable[[Tensor], Tensor]
) -> None:
    ratio = torch.tensor([1e-6, 0.2, 0.7, 1.3, 5.0, 1e5], dtype=torch.float64)
    ratio.requires_grad_(True)
    value = function(ratio)
    (slope,) = torch.autograd.grad(value.sum(), ratio)
    torch.testing.assert_close(divergence.value(ratio.log()), value)
    torch.testing.assert_close(divergence.variation(ratio.log().detach()), slope)


@pytest.mark.parametrize(
    "divergence", [d for d, _ in PAIRS if d.bounded], ids=lambda d: type(d).__name__
)
def test_bounded_variations_are_finite_where_the_target_has_nothing(divergence: Divergence) -> None:
    assert divergence.variation(torch.tensor([torch.inf])).isfinite().all()


@pytest.mark.parametrize("estimator", [RLOO(), Reinforce()], ids=["RLOO", "Reinforce"])
@pytest.mark.parametrize(("divergence", "function"), PAIRS, ids=IDS)
@pytest.mark.parametrize("name", TOYS)
def test_with_log_z_known_the_gradient_is_that_of_the_divergence(
    name: str,
    divergence: Divergence,
    function: Callable[[Tensor], Tensor],
    estimator: RLOO | Reinforce,
) -> None:
    toy = TOYS[name]
    model = target(toy)
    log_probs, log_partition = exact(toy, model)
    energy = DivergenceEnergy(model, divergence, FixedPartition(float(log_partition)))
    assert energy.bias is None
    expected = exact_gradient(toy, lambda p: exact_divergence(p.log(), log_probs, function))
    found = expected_estimate(toy, 2, energy, estimator)
    assert expected.abs().max() > 1e-3
    torch.testing.assert_close(found, expected, atol=1e-10, rtol=0)


@pytest.mark.parametrize(
    ("divergence", "function"), [PAIRS[0], PAIRS[2], PAIRS[3]], ids=["f", "j", "t"]
)
def test_hard_constraints_have_gradients(
    divergence: Divergence, function: Callable[[Tensor], Tensor]
) -> None:
    """Of the divergences that are finite: what the target rules out is pushed down."""
    toy = Toy(vocabulary=3)
    model = target(toy, forbidden=(0, 4))
    log_probs, log_partition = exact(toy, model)
    energy = DivergenceEnergy(model, divergence, FixedPartition(float(log_partition)))

    def functional(p: Tensor) -> Tensor:
        allowed = log_probs > -torch.inf
        inside = exact_divergence(p[allowed].log(), log_probs[allowed], function)
        # f(r) t for t -> 0 is r f'(inf) of what is ruled out.
        slope = divergence.variation(torch.tensor(torch.inf, dtype=torch.float64))
        return inside + slope * p[~allowed].sum()

    expected = exact_gradient(toy, functional)
    torch.testing.assert_close(
        expected_estimate(toy, 2, energy, RLOO()), expected, atol=1e-10, rtol=0
    )


def test_reverse_kl_is_the_kl_regularised_policy_gradient() -> None:
    """``E/T + log p - log p_ref`` and ``log p - log a`` differ by a constant of each context."""
    toy = TOYS["end token"]
    model = target(toy, temperature=0.8)
    regularised = (1 / 0.8) * model.energy + KLEnergy()
    ours = DivergenceEnergy(model, ReverseKL(), FixedPartition(3.0))
    torch.testing.assert_close(
        expected_estimate(toy, 3, ours, RLOO()),
        expected_estimate(toy, 3, regularised, RLOO()),
        atol=1e-10,
        rtol=0,
    )


@pytest.mark.parametrize("samples", [2, 3])
@pytest.mark.parametrize("name", TOYS)
def test_log_variance_on_policy_is_the_gradient_of_reverse_kl(name: str, samples: int) -> None:
    toy = TOYS[name]
    model = target(toy)
    log_probs, log_partition = exact(toy, model)
    expected = exact_gradient(toy, lambda p: exact_divergence(p.log(), log_probs, reverse_kl))
    energy = TargetEnergy(model)
    found = expected_estimate(toy, samples, energy, LogVariance())
    torch.testing.assert_close(found, expected, atol=1e-10, rtol=0)
    balance = TrajectoryBalance(-log_partition)
    found = expected_estimate(toy, samples, energy, balance)
    # Half the mean square moves log p by (log p + u + c), whatever c is.
    torch.testing.assert_close(found, expected, atol=1e-10, rtol=0)


def test_at_the_target_the_log_variance_is_zero_off_policy_too() -> None:
    toy = TOYS["three tokens"]
    model = target(toy)
    log_probs, log_partition = exact(toy, model)
    groups = toy.groups(2)
    density = model.log_density(groups)
    terms = TargetEnergy(model)(groups, Scores(groups.log_probs))
    at_target = torch.zeros(groups.completions.shape, dtype=torch.float64)
    at_target[..., 0] = density - log_partition
    estimate = LogVariance()(at_target, terms, groups)
    assert float(estimate.loss) == pytest.approx(0, abs=1e-20)
    balance = TrajectoryBalance(log_partition)
    with_partition = balance(at_target, terms, groups)
    assert float(with_partition.loss) == pytest.approx(0, abs=1e-20)
    assert float(balance(at_target + 0.1, terms, groups).loss) > 0
    del log_probs


def test_estimated_partitions_are_declared() -> None:
    model = target(Toy())
    assert "normalises" in str(DivergenceEnergy(model).bias)
    others = DivergenceEnergy(model, partition=LeaveOneOutPartition())
    assert others.minimum_samples == 2
    assert "inverse" in str(others.bias)


def test_reverse_kl_of_a_constraint_is_refused() -> None:
    toy = Toy()
    model = target(toy, forbidden=(0,))
    groups = toy.groups(2)
    scores = Scores(groups.log_probs)
    with pytest.raises(UserError, match="ReverseKL is infinite there: use ForwardKL"):
        DivergenceEnergy(model, ReverseKL())(groups, scores)
    with pytest.raises(UserError, match="use DivergenceEnergy with a bounded divergence"):
        TargetEnergy(model)(groups, scores)
    terms = DivergenceEnergy(model)(groups, scores)
    assert terms.unary.isfinite().all()


def test_pairwise_terms_are_refused_by_log_variance() -> None:
    toy = Toy()
    groups = toy.groups(2)
    pairs = table(toy)
    pairs.pairwise = torch.eye(4, dtype=torch.float64)
    with pytest.raises(UserError, match="pairwise terms"):
        LogVariance()(groups.log_probs, pairs(groups, Scores(groups.log_probs)), groups)
