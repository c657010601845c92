"""Estimators against exact gradients, by listing every group of rollouts (no sampling noise)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from ebmlm.distribution import Categorical
from ebmlm.energies import (
    Energy,
    EnergyTerms,
    FeatureMatchingEnergy,
    FunctionEnergy,
    KLEnergy,
    cosine,
)
from ebmlm.estimators import (
    RLOO,
    Estimate,
    Estimator,
    GroupNorm,
    Reinforce,
    mean_token_log_prob,
    policy_gradient,
    sequence_log_prob,
)
from ebmlm.features import (
    FeatureMap,
    Features,
    HiddenStateFeatures,
    Metric,
    MetricWhitening,
    Unnormalised,
)
from ebmlm.rollouts import Rollouts, Scores
from tests.exact import Toy, exact_gradient, expected_estimate
from tests.helpers import seeded

TOYS = {
    "plain": Toy(),
    "three tokens": Toy(vocabulary=3),
    "end token": Toy(vocabulary=3, ends=(1,)),
    "cold": Toy(vocabulary=3, distribution=Categorical(0.6)),
    "cold with end token": Toy(ends=(1,), horizon=3, distribution=Categorical(0.6)),
}


def feature_map(toy: Toy) -> FeatureMap:
    return HiddenStateFeatures(toy.model.frozen(), normalisation=Unnormalised())


def features_of(toy: Toy) -> tuple[Tensor, Tensor]:
    """Features (completion, feature) of every completion, and (feature,) of the real one."""
    features = feature_map(toy)(toy.groups(1))
    assert features.references is not None
    return features.rollouts[:, 0, 0], features.references[0, 0]


def moment_distance(
    toy: Toy, alignment: float = 1.0, diversity: float = 1.0, metric: Metric | None = None
) -> Callable[[Tensor], Tensor]:
    """``d |E_p phi|^2 - 2 a E_p phi . phi*``: the squared distance, less a constant."""
    phi, real = features_of(toy)
    if metric is not None:
        phi, real = metric(phi), metric(real)

    def functional(probabilities: Tensor) -> Tensor:
        moment = probabilities @ phi
        return diversity * moment.square().sum() - 2 * alignment * (moment @ real)

    return functional


def divergence(toy: Toy, probabilities: Tensor) -> Tensor:
    """KL(p || p_ref) in nats, both as they are drawn from."""
    reference = toy.log_probabilities(toy.reference).detach()
    return (probabilities * (probabilities.log() - reference)).sum()


def assert_exact(
    toy: Toy,
    samples: int,
    energy: Energy,
    estimator: Estimator,
    functional: Callable[[Tensor], Tensor],
) -> None:
    expected = exact_gradient(toy, functional)
    found = expected_estimate(toy, samples, energy, estimator)
    assert expected.abs().max() > 0.01
    torch.testing.assert_close(found, expected, atol=1e-10, rtol=0)


@pytest.mark.parametrize("samples", [2, 3, 4])
@pytest.mark.parametrize("estimator", [RLOO(), Reinforce(), Reinforce(-1.7)])
@pytest.mark.parametrize("name", TOYS)
def test_feature_matching_gradient_is_exact(name: str, estimator: Estimator, samples: int) -> None:
    toy = TOYS[name]
    energy = FeatureMatchingEnergy(feature_map(toy))
    assert_exact(toy, samples, energy, estimator, moment_distance(toy))


@pytest.mark.parametrize("samples", [2, 3])
@pytest.mark.parametrize(
    ("alignment", "diversity"), [(1.0, 0.5), (0.3, 2.0), (1.0, 0.0), (0.0, 1.0)]
)
def test_with_coefficients(alignment: float, diversity: float, samples: int) -> None:
    toy = TOYS["end token"]
    energy = FeatureMatchingEnergy(feature_map(toy), alignment, diversity)
    assert_exact(toy, samples, energy, RLOO(), moment_distance(toy, alignment, diversity))


@pytest.mark.parametrize("samples", [2, 3])
@pytest.mark.parametrize("name", TOYS)
def test_regularised_towards_a_reference(name: str, samples: int) -> None:
    toy = TOYS[name]
    energy = FeatureMatchingEnergy(feature_map(toy)) + 0.7 * KLEnergy()
    distance = moment_distance(toy)

    def functional(probabilities: Tensor) -> Tensor:
        return distance(probabilities) + 0.7 * divergence(toy, probabilities)

    assert_exact(toy, samples, energy, RLOO(), functional)


@pytest.mark.parametrize("samples", [2, 3])
def test_in_a_fixed_metric(samples: int) -> None:
    toy = TOYS["three tokens"]
    width = features_of(toy)[0].shape[-1]
    metric = Metric.of(torch.randn(9, width, generator=seeded(2), dtype=torch.float64))
    energy = FeatureMatchingEnergy(feature_map(toy), whitening=MetricWhitening(metric))
    functional = moment_distance(toy, metric=metric)
    plain = exact_gradient(toy, moment_distance(toy))
    assert (exact_gradient(toy, functional) - plain).abs().max() > 1e-2
    assert_exact(toy, samples, energy, RLOO(), functional)


def test_layers_matched_apart() -> None:
    """The mean over layers of each layer's own distance."""
    toy = TOYS["three tokens"]
    features = HiddenStateFeatures(toy.model.frozen(), normalisation=Unnormalised(), apart=True)
    phi, real = features_of(toy)

    def functional(probabilities: Tensor) -> Tensor:
        difference = (probabilities @ phi - real).view(3, -1)
        return difference.square().sum(-1).mean()

    assert_exact(toy, 3, FeatureMatchingEnergy(features), RLOO(), functional)


def test_cosine_alignment() -> None:
    toy = TOYS["three tokens"]
    phi, real = features_of(toy)
    likeness = torch.nn.functional.cosine_similarity(phi, real.unsqueeze(0), dim=-1)
    energy = FeatureMatchingEnergy(feature_map(toy), 1.0, 0.5, similarity=cosine)

    def functional(probabilities: Tensor) -> Tensor:
        moment = probabilities @ phi
        return 0.5 * moment.square().sum() - 2 * probabilities @ likeness

    assert_exact(toy, 3, energy, RLOO(), functional)


def _length(rollouts: Rollouts) -> Tensor:
    return rollouts.completion_mask.sum(-1).double() + rollouts.completions[..., 0]


@pytest.mark.parametrize(
    ("samples", "estimator"), [(1, Reinforce()), (1, Reinforce(2.0)), (3, RLOO())]
)
@pytest.mark.parametrize("name", TOYS)
def test_energies_without_pairs_need_one_sample(
    name: str, samples: int, estimator: Estimator
) -> None:
    toy = TOYS[name]
    energy = FunctionEnergy(_length) + 0.3 * KLEnergy()
    lengths = _length(toy.groups(1))[:, 0, 0]

    def functional(probabilities: Tensor) -> Tensor:
        return probabilities @ lengths + 0.3 * divergence(toy, probabilities)

    assert_exact(toy, samples, energy, estimator, functional)


class _NaiveLeaveOneOut(Estimator):
    """The wrong one: the plain mean of the other samples' energies, which contain sample j."""

    minimum_samples = 2

    def __call__(self, log_probs: Tensor, terms: EnergyTerms, rollouts: Rollouts) -> Estimate:
        energies = terms.per_sample()
        others = (energies.sum(-1, keepdim=True) - energies) / (terms.samples - 1)
        return policy_gradient(log_probs, energies - others, rollouts, sequence_log_prob)


@pytest.mark.parametrize("samples", [2, 3, 4])
def test_the_naive_baseline_is_biased_by_pairs_and_ours_is_not(samples: int) -> None:
    toy = TOYS["three tokens"]
    energy = FeatureMatchingEnergy(feature_map(toy))
    expected = exact_gradient(toy, moment_distance(toy))
    naive = expected_estimate(toy, samples, energy, _NaiveLeaveOneOut())
    ours = expected_estimate(toy, samples, energy, RLOO())
    assert (naive - expected).abs().max() > 1e-3
    assert (ours - expected).abs().max() < 1e-10
    # Without pairs the naive one is right.
    alone = FunctionEnergy(_length)
    torch.testing.assert_close(
        expected_estimate(toy, samples, alone, _NaiveLeaveOneOut()),
        expected_estimate(toy, samples, alone, RLOO()),
        atol=1e-12,
        rtol=0,
    )


def test_the_baseline_makes_the_variance_smaller() -> None:
    """Exact second moments of the gradient over all groups, of the same mean."""
    toy = TOYS["three tokens"]
    energy = FunctionEnergy(lambda rollouts: 3 + _length(rollouts))
    spread = {}
    for name, estimator in (("reinforce", Reinforce()), ("rloo", RLOO())):
        model, groups = toy.model, toy.groups(2)
        log_probs = model.score(groups).completions
        weights = log_probs.detach().sum((1, 2, 3)).exp()
        leaves = log_probs.detach().requires_grad_(True)
        terms = energy(groups, Scores(leaves.detach()))
        loss = estimator(leaves, terms, groups).loss * len(weights)
        (each,) = torch.autograd.grad(loss, leaves)
        spread[name] = float((weights * each.square().sum((1, 2, 3))).sum())
    assert spread["rloo"] < spread["reinforce"] / 2


def test_token_mean_credit_is_the_exact_gradient_over_the_length() -> None:
    """Where all rollouts have the same length; with end tokens it is another direction."""
    toy = TOYS["three tokens"]
    energy = FeatureMatchingEnergy(feature_map(toy))
    expected = exact_gradient(toy, moment_distance(toy)) / toy.horizon
    found = expected_estimate(toy, 3, energy, RLOO(mean_token_log_prob))
    torch.testing.assert_close(found, expected, atol=1e-10, rtol=0)
    ending = TOYS["end token"]
    energy = FeatureMatchingEnergy(feature_map(ending))
    expected = exact_gradient(ending, moment_distance(ending))
    found = expected_estimate(ending, 3, energy, RLOO(mean_token_log_prob))
    assert _angle(found, expected) > 1e-3


def test_group_norm_is_biased() -> None:
    toy = TOYS["three tokens"]
    energy = FeatureMatchingEnergy(feature_map(toy))
    expected = exact_gradient(toy, moment_distance(toy))
    found = expected_estimate(toy, 3, energy, GroupNorm(sequence_log_prob))
    assert _angle(found, expected) > 1e-3


def _angle(left: Tensor, right: Tensor) -> float:
    """One less the cosine."""
    likeness = torch.nn.functional.cosine_similarity(left.flatten(), right.flatten(), dim=0)
    return 1 - float(likeness)


def test_features_are_those_of_the_rollouts() -> None:
    """The toy's own features differ from completion to completion, so that there is a gradient."""
    phi, real = features_of(TOYS["plain"])
    assert isinstance(feature_map(TOYS["plain"])(TOYS["plain"].groups(1)), Features)
    assert torch.pdist(phi).min() > 0.1
    assert real.shape == phi.shape[1:]
