"""Kernels of features against loops, and the laws of matching under them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ebmlm.energies import KernelMatchingEnergy
from ebmlm.features import (
    BatchMetricWhitening,
    FeatureMap,
    Features,
    FeatureSpaceWhitening,
    NoWhitening,
    SampleSpaceWhitening,
    Whitening,
)
from ebmlm.kernels import (
    FeatureKernel,
    Gaussian,
    Laplace,
    Linear,
    MedianBandwidth,
    Polynomial,
    RationalQuadratic,
    VectorKernel,
)
from ebmlm.rollouts import Rollouts, SequenceBatch
from ebmlm.testing import LawViolation, check_energy
from ebmlm.testing.laws.energy import neighbours_move_no_energy
from ebmlm.testing.strategies import features as any_features
from ebmlm.testing.strategies import rollouts as any_rollouts
from tests.helpers import made_rollouts
from tests.kernels.helpers import assert_semi_definite, table_features


class Given(FeatureMap):
    def __init__(self, features: Features) -> None:
        self.features = features

    def __call__(self, rollouts: Rollouts) -> Features:
        return self.features


def valid_anchors(features: Features) -> Rollouts:
    """Rollouts with as many anchors, all of them valid."""
    rows, places, samples, _ = features.rollouts.shape
    return made_rollouts(
        SequenceBatch.of(torch.zeros(rows, 3, dtype=torch.long)),
        torch.ones(rows, places, dtype=torch.long),
        torch.zeros(rows, places, samples, 2, dtype=torch.long),
    )


FUNCTIONS = [
    Linear(),
    Polynomial(2),
    Gaussian(0.7),
    Laplace(0.7) + 0.5 * Gaussian(2.0),
    RationalQuadratic(),
    Gaussian(MedianBandwidth()),
]
WHITENINGS = [
    NoWhitening(),
    FeatureSpaceWhitening(),
    SampleSpaceWhitening(),
    BatchMetricWhitening(),
]


@given(any_features(), st.sampled_from(FUNCTIONS), st.sampled_from(WHITENINGS))
def test_equals_the_loop(drawn: Features, function: VectorKernel, whitening: Whitening) -> None:
    """Block by block, the mean over blocks."""
    rollouts = valid_anchors(drawn)
    values = FeatureKernel(Given(drawn), function, whitening)(rollouts)
    pairs, references, own = (
        torch.zeros_like(each) for each in (values.pairs, values.references, values.own)
    )
    blocks = drawn.split()
    for block in blocks:
        sampled, real = whitening(block, rollouts.anchor_mask)
        fitted = function.fitted(real.mean(2).flatten(0, 1))

        def alike(x: Tensor, y: Tensor, fitted: VectorKernel = fitted) -> float:
            return float(fitted(x[None], y[None])) / len(blocks)

        for row, place in torch.cartesian_prod(*map(torch.arange, own.shape)).view(-1, 2).tolist():
            here, there = sampled[row, place], real[row, place]
            for j, mine in enumerate(here):
                references[row, place, j] += alike(mine, there[j])
                own[row, place] += alike(there[j], there[j]) / len(here)
                for k, other in enumerate(here):
                    pairs[row, place, j, k] += alike(mine, other)
    for found, expected in zip(
        (values.pairs, values.references, values.own), (pairs, references, own), strict=True
    ):
        largest = max(1.0, float(expected.abs().max()))
        torch.testing.assert_close(found, expected, atol=1e-9 * largest, rtol=0)
    if whitening.bias is None:
        for gram in values.gram().flatten(0, 1):
            assert_semi_definite(gram)


@given(any_rollouts(min_samples=2))
def test_the_median_is_over_references_of_valid_anchors(drawn: Rollouts) -> None:
    features = table_features()
    found = FeatureKernel(features, Gaussian(MedianBandwidth(0.5)))(drawn)
    real = features(drawn).references
    assert real is not None
    kept = list(real[drawn.anchor_mask])
    lengths = sorted(
        float((x - y).norm()) for i, x in enumerate(kept) for y in kept[:i] if not torch.equal(x, y)
    )
    width = 0.5 * lengths[(len(lengths) - 1) // 2] if lengths else 1.0
    expected = FeatureKernel(features, Gaussian(width))(drawn)
    torch.testing.assert_close(
        found.gram()[drawn.anchor_mask], expected.gram()[drawn.anchor_mask], atol=1e-9, rtol=0
    )


def test_it_carries_no_gradient() -> None:
    drawn = Features(
        torch.ones(1, 1, 2, 3, requires_grad=True), torch.zeros(1, 1, 3, requires_grad=True), (3,)
    )
    values = FeatureKernel(Given(drawn), Gaussian())(valid_anchors(drawn))
    assert not any(each.requires_grad for each in (values.pairs, values.references, values.own))


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda part: type(part).__name__)
def test_a_region_of_lower_precision_rounds_no_energy(function: VectorKernel) -> None:
    generator = torch.Generator().manual_seed(0)
    drawn = Features(
        torch.randn(2, 2, 3, 40, generator=generator),
        torch.randn(2, 2, 40, generator=generator),
        (40,),
    )
    kernel, rollouts = FeatureKernel(Given(drawn), function), valid_anchors(drawn)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = kernel(rollouts).gram()
    assert rounded.dtype == torch.float32
    torch.testing.assert_close(rounded, kernel(rollouts).gram(), atol=0, rtol=0)


@pytest.mark.parametrize("function", FUNCTIONS[:5], ids=lambda part: type(part).__name__)
def test_matching_under_it_keeps_every_law(function: VectorKernel) -> None:
    kernel = FeatureKernel(table_features(apart=True), function)
    assert check_energy(KernelMatchingEnergy(kernel), examples=8)


def test_with_the_median_neighbours_matter_and_nothing_else_does() -> None:
    kernel = FeatureKernel(table_features(), Gaussian(MedianBandwidth()))
    exempt = {"neighbours_move_no_energy": "one bandwidth for the whole batch"}
    report = check_energy(KernelMatchingEnergy(kernel), examples=15, exempt=exempt)
    assert report
    with pytest.raises(LawViolation, match=r"of sequence \d alone"):
        neighbours_move_no_energy(KernelMatchingEnergy(kernel), examples=200)


@pytest.mark.parametrize("whitening", [FeatureSpaceWhitening(), SampleSpaceWhitening()])
def test_a_biased_whitening_is_declared(whitening: Whitening) -> None:
    kernel = FeatureKernel(table_features(), Linear(), whitening)
    assert kernel.bias == whitening.bias
    assert check_energy(KernelMatchingEnergy(kernel), examples=8)
