"""Recipes put the parts together that they say."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch

from ebmlm.distribution import Categorical
from ebmlm.energies import (
    FeatureMatchingEnergy,
    KernelMatchingEnergy,
    KLEnergy,
    ScaledEnergy,
    SumEnergy,
    cosine,
    inner_product,
)
from ebmlm.errors import UserError
from ebmlm.estimators import RLOO, Reinforce, mean_token_log_prob, sequence_log_prob
from ebmlm.features import (
    FeatureSpaceWhitening,
    HiddenStateFeatures,
    JointLength,
    LastToken,
    LayerIndices,
    LayerLength,
    MeanToken,
    NoWhitening,
    SampleSpaceWhitening,
)
from ebmlm.kernels import FeatureKernel, Gaussian, Linear, MedianBandwidth
from ebmlm.objectives import CrossEntropy, recipes
from ebmlm.rollouts import SequenceBatch
from ebmlm.samplers import BlockParallelSampler, StridedAnchors
from ebmlm.testing import TabularLanguageModel, check_objective
from tests.helpers import seeded


def _model() -> TabularLanguageModel:
    return TabularLanguageModel(3, 3, generator=seeded(0))


def test_ebft_as_published() -> None:
    objective = recipes.ebft(_model())
    assert isinstance(objective.sampler, BlockParallelSampler)
    assert objective.sampler.anchors == StridedAnchors(8, 8)
    assert (objective.sampler.horizon, objective.sampler.samples) == (8, 4)
    assert objective.sampler.distribution == Categorical()
    energy = objective.energy
    assert isinstance(energy, FeatureMatchingEnergy)
    assert (energy.alignment, energy.diversity) == (1.0, 1.0)
    assert energy.similarity is cosine
    assert isinstance(energy.whitening, FeatureSpaceWhitening)
    features = energy.features
    assert isinstance(features, HiddenStateFeatures)
    assert features.layers == (1, 2, 3)
    assert isinstance(features.pooling, LastToken)
    assert isinstance(features.normalisation, JointLength)
    assert isinstance(objective.estimator, RLOO)
    assert objective.estimator.credit is mean_token_log_prob
    assert objective.cross_entropy == 0.03
    assert objective.reference is None


def test_every_option_arrives() -> None:
    model, network = _model(), _model().frozen()
    objective = recipes.ebft(
        model,
        horizon=3,
        stride=5,
        context=2,
        samples=6,
        distribution=Categorical(0.6),
        layers=LayerIndices([0, 4]),
        pooling=MeanToken(),
        normalisation=LayerLength(),
        whitening=SampleSpaceWhitening(),
        alignment=0.5,
        diversity=0.25,
        kl=0.1,
        cross_entropy=0.0,
        estimator=Reinforce(),
        network=network,
    )
    assert objective.sampler.anchors == StridedAnchors(5, 2)
    assert (objective.sampler.horizon, objective.sampler.samples) == (3, 6)
    assert objective.sampler.distribution == Categorical(0.6)
    energy = objective.energy
    assert isinstance(energy, SumEnergy)
    matching, kl = energy.energies
    assert isinstance(matching, FeatureMatchingEnergy)
    assert (matching.alignment, matching.diversity) == (0.5, 0.25)
    assert isinstance(matching.whitening, SampleSpaceWhitening)
    assert isinstance(matching.features, HiddenStateFeatures)
    assert matching.features.network is network
    assert matching.features.layers == (0, 4)
    assert isinstance(matching.features.pooling, MeanToken)
    assert isinstance(matching.features.normalisation, LayerLength)
    assert isinstance(kl, ScaledEnergy)
    assert isinstance(kl.energy, KLEnergy)
    assert kl.factor == 0.1
    assert isinstance(objective.estimator, Reinforce)
    assert objective.cross_entropy == 0
    # The reference is the policy, whatever the feature network.
    assert objective.reference is not None
    assert objective.reference is not network


def test_without_bias() -> None:
    objective = recipes.ebft_unbiased(_model(), temperature=0.6)
    energy = objective.energy
    assert isinstance(energy, FeatureMatchingEnergy)
    assert energy.similarity is inner_product
    assert isinstance(energy.whitening, NoWhitening)
    assert isinstance(objective.estimator, RLOO)
    assert objective.estimator.credit is sequence_log_prob
    assert objective.sampler.distribution == Categorical(0.6)


def test_kernel_matching() -> None:
    objective = recipes.mmd(_model())
    assert isinstance(objective.sampler, BlockParallelSampler)
    assert objective.sampler.anchors == StridedAnchors(8, 8)
    assert (objective.sampler.horizon, objective.sampler.samples) == (8, 4)
    energy = objective.energy
    assert isinstance(energy, KernelMatchingEnergy)
    assert (energy.alignment, energy.diversity) == (1.0, 1.0)
    assert isinstance(energy.kernel, FeatureKernel)
    assert isinstance(energy.kernel.function, Gaussian)
    assert isinstance(energy.kernel.function.bandwidth, MedianBandwidth)
    assert isinstance(energy.kernel.whitening, NoWhitening)
    assert isinstance(objective.estimator, RLOO)
    assert objective.estimator.credit is sequence_log_prob
    assert objective.cross_entropy == 0.03
    assert objective.reference is None


def test_every_option_of_kernel_matching_arrives() -> None:
    network, kernel = _model().frozen(), 0.5 * Linear()
    objective = recipes.mmd(
        _model(),
        kernel=kernel,
        anchors=StridedAnchors(3, 1),
        horizon=3,
        samples=6,
        distribution=Categorical(0.6),
        layers=LayerIndices([0, 4]),
        pooling=MeanToken(),
        normalisation=LayerLength(),
        whitening=SampleSpaceWhitening(),
        alignment=0.5,
        diversity=0.25,
        kl=0.1,
        cross_entropy=0.0,
        estimator=Reinforce(),
        network=network,
    )
    assert objective.sampler.anchors == StridedAnchors(3, 1)
    assert (objective.sampler.horizon, objective.sampler.samples) == (3, 6)
    assert objective.sampler.distribution == Categorical(0.6)
    assert isinstance(objective.energy, SumEnergy)
    matching, kl = objective.energy.energies
    assert isinstance(matching, KernelMatchingEnergy)
    assert (matching.alignment, matching.diversity) == (0.5, 0.25)
    assert isinstance(matching.kernel, FeatureKernel)
    assert matching.kernel.function is kernel
    assert isinstance(matching.kernel.whitening, SampleSpaceWhitening)
    features = matching.kernel.features
    assert isinstance(features, HiddenStateFeatures)
    assert features.network is network
    assert features.layers == (0, 4)
    assert isinstance(features.pooling, MeanToken)
    assert isinstance(features.normalisation, LayerLength)
    assert isinstance(kl, ScaledEnergy)
    assert kl.factor == 0.1
    assert isinstance(objective.estimator, Reinforce)
    assert objective.cross_entropy == 0
    assert objective.reference is not None


def test_linear_kernel_matching_is_unbiased_feature_matching() -> None:
    options: dict[str, Any] = {"horizon": 3, "stride": 2, "context": 2, "samples": 3}
    estimates = []
    for recipe in (recipes.ebft_unbiased, partial(recipes.mmd, kernel=Linear())):
        table = _model()
        batch = SequenceBatch.of(torch.randint(3, (2, 12), generator=seeded(1)))
        estimate = recipe(table, **options).loss(table, batch, generator=seeded(2))
        (gradient,) = torch.autograd.grad(estimate.loss, table.logits)
        estimates.append((estimate, gradient))
    (theirs, expected), (ours, found) = estimates
    assert expected.abs().max() > 1e-3
    torch.testing.assert_close(ours.loss, theirs.loss, atol=1e-12, rtol=0)
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=0)
    assert ours.metrics.keys() == theirs.metrics.keys()
    for name, value in theirs.metrics.items():
        torch.testing.assert_close(ours.metrics[name], value, atol=1e-12, rtol=0)


def test_kernel_matching_keeps_every_law() -> None:
    """Under the median of a batch the pieces of a batch have kernels of their own."""
    options: dict[str, Any] = {"horizon": 2, "stride": 2, "context": 1, "samples": 2}
    assert check_objective(partial(recipes.mmd, kernel=Gaussian(0.5), **options), examples=10)
    exempt = {"gradients_of_pieces_add_up": "one bandwidth for the whole batch"}
    assert check_objective(partial(recipes.mmd, **options), exempt=exempt, examples=10)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kl": -0.1}, "kl is -0.1"),
        ({"samples": 1}, "1 sample per anchor"),
        ({"alignment": -1.0}, "alignment is -1.0"),
        ({"diversity": float("inf")}, "diversity is inf"),
    ],
)
def test_options_of_kernel_matching_out_of_range(options: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        recipes.mmd(_model(), **options)  # type: ignore[arg-type]


def test_sft() -> None:
    assert isinstance(recipes.sft(_model()), CrossEntropy)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kl": -0.1}, "kl is -0.1"),
        ({"kl": float("nan")}, "kl is nan"),
        ({"horizon": 0}, "horizon is 0"),
        ({"stride": 0}, "stride is 0"),
        ({"context": 0}, "context is 0"),
        ({"samples": 1}, "1 sample per anchor"),
        ({"alignment": -1.0}, "alignment is -1.0"),
        ({"diversity": -1.0}, "diversity is -1.0"),
        ({"cross_entropy": -1.0}, "cross_entropy is -1.0"),
    ],
)
def test_options_out_of_range(options: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        recipes.ebft(_model(), **options)  # type: ignore[arg-type]
