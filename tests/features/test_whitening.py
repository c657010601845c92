"""Whitening against dense feature x feature matrices, one group at a time."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ebmlm.errors import UserError
from ebmlm.features import (
    BatchMetricWhitening,
    Features,
    FeatureSpaceWhitening,
    Metric,
    MetricWhitening,
    NoWhitening,
    SampleSpaceWhitening,
    Whitening,
)
from ebmlm.testing.strategies import features as any_features
from tests.helpers import seeded

EVERY = [
    NoWhitening(),
    FeatureSpaceWhitening(),
    SampleSpaceWhitening(),
    BatchMetricWhitening(),
    MetricWhitening(Metric.of(torch.randn(9, 7, generator=seeded(5)))),
]


def _features(
    samples: int = 4, width: int = 7, seed: int = 0, dtype: torch.dtype = torch.float64
) -> Features:
    rollouts = torch.randn(2, 3, samples, width, generator=seeded(seed), dtype=torch.float64)
    references = torch.randn(2, 3, width, generator=seeded(seed + 1), dtype=torch.float64)
    return Features(rollouts.to(dtype), references.to(dtype), (width,))


ALL = torch.ones(2, 3, dtype=torch.bool)


def _dense_root(second_moment: Tensor) -> Tensor:
    """``(S^+)^(1/2)`` of a matrix, one eigenvector at a time."""
    values, vectors = torch.linalg.eigh(second_moment)
    root = torch.zeros_like(second_moment)
    for value, vector in zip(values, vectors.T, strict=True):
        if value > 1e-9 * values.max():
            root += torch.outer(vector, vector) / value.sqrt()
    return root


@pytest.mark.parametrize(("samples", "width"), [(4, 7), (1, 5), (2, 2), (8, 5), (3, 64)])
def test_feature_space_equals_the_formula(samples: int, width: int) -> None:
    """``phi -> (Sigma^+)^(1/2) phi`` with Sigma = 1/N sum phi phi^T of the group's rollouts."""
    features = _features(samples, width)
    assert features.references is not None
    whitened, references = FeatureSpaceWhitening()(features, ALL)
    assert references.shape == whitened.shape
    for row in range(2):
        for place in range(3):
            group = features.rollouts[row, place]
            second_moment = sum(torch.outer(phi, phi) for phi in group) / samples
            root = _dense_root(torch.as_tensor(second_moment))
            for number in range(samples):
                torch.testing.assert_close(
                    whitened[row, place, number], root @ group[number], atol=1e-9, rtol=0
                )
                torch.testing.assert_close(
                    references[row, place, number],
                    root @ features.references[row, place],
                    atol=1e-9,
                    rtol=0,
                )


def test_distinct_rollouts_come_out_orthogonal_with_squared_length_n() -> None:
    whitened, _ = FeatureSpaceWhitening()(_features(4, 7), ALL)
    gram = whitened @ whitened.mT
    torch.testing.assert_close(gram, 4 * torch.eye(4, dtype=torch.float64).expand_as(gram))


@pytest.mark.parametrize(("samples", "width"), [(4, 7), (2, 3), (8, 5)])
def test_sample_space_is_feature_space_on_rollouts(samples: int, width: int) -> None:
    """Up to the factor sqrt(N); it scales each copy of the raw reference by one number."""
    features = _features(samples, width)
    assert features.references is not None
    ours, scaled = SampleSpaceWhitening()(features, ALL)
    theirs, _ = FeatureSpaceWhitening()(features, ALL)
    torch.testing.assert_close(ours * samples**0.5, theirs, atol=1e-9, rtol=0)
    for row in range(2):
        for place in range(3):
            group, reference = features.rollouts[row, place], features.references[row, place]
            operator = _dense_root(group @ group.T)
            torch.testing.assert_close(ours[row, place], operator @ group, atol=1e-9, rtol=0)
            factors = operator.sum(-1)
            torch.testing.assert_close(
                scaled[row, place], torch.outer(factors, reference), atol=1e-9, rtol=0
            )


@pytest.mark.parametrize("whitening", EVERY, ids=lambda one: type(one).__name__)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rank_deficient_groups_stay_finite(whitening: Whitening, dtype: torch.dtype) -> None:
    """Duplicates, zero vectors, nearly equal vectors, and nothing at all."""
    features = _features(4, 7, dtype=dtype)
    assert features.references is not None
    rollouts = features.rollouts.clone()
    rollouts[0, 0, 1] = rollouts[0, 0, 0]
    rollouts[0, 1] = rollouts[0, 1, 0]
    rollouts[0, 2, 3] = 0
    rollouts[1, 0] = 0
    rollouts[1, 1, 1] = rollouts[1, 1, 0] * (1 + 1e-7)
    references = features.references.clone()
    references[1, 2] = 0
    for made in whitening(Features(rollouts, references, (7,)), ALL):
        assert made.shape == rollouts.shape
        assert made.dtype == dtype
        assert made.isfinite().all()
        assert made.abs().max() < 1e4


def _valid(features: Features) -> Tensor:
    return torch.ones(features.rollouts.shape[:2], dtype=torch.bool)


ANY = any_features(min_samples=1)


@given(st.sampled_from(EVERY[:-1]), ANY, st.sampled_from([torch.float32, torch.float64]))
def test_features_of_every_kind_stay_finite(
    whitening: Whitening, drawn: Features, dtype: torch.dtype
) -> None:
    """Of low rank, alike, tiny, huge, zero, and groups of different kinds in a batch."""
    assert drawn.references is not None
    features = Features(drawn.rollouts.to(dtype), drawn.references.to(dtype), drawn.blocks)
    for made in whitening(features, _valid(features)):
        assert made.shape == drawn.rollouts.shape
        assert made.dtype == dtype
        assert made.isfinite().all()


@given(ANY)
def test_feature_space_equals_the_formula_for_features_of_every_kind(drawn: Features) -> None:
    assert drawn.references is not None
    whitened, references = FeatureSpaceWhitening()(drawn, _valid(drawn))
    for row, place in _valid(drawn).nonzero().tolist():
        group = drawn.rollouts[row, place]
        root = _dense_root(group.T @ group / len(group))
        expected = group @ root, (root @ drawn.references[row, place]).expand_as(group)
        for found, hand in zip((whitened, references), expected, strict=True):
            torch.testing.assert_close(found[row, place], hand, atol=1e-6, rtol=1e-6)


@given(st.sampled_from(EVERY[1:3]), ANY, st.sampled_from([2.0**-30, 2.0**30]))
def test_the_unit_of_features_does_not_matter(
    whitening: Whitening, drawn: Features, scale: float
) -> None:
    assert drawn.references is not None
    scaled = Features(scale * drawn.rollouts, scale * drawn.references, drawn.blocks)
    pairs = zip(whitening(scaled, _valid(drawn)), whitening(drawn, _valid(drawn)), strict=True)
    for found, expected in pairs:
        torch.testing.assert_close(found, expected, atol=1e-9, rtol=1e-9)


def test_duplicates_are_whitened_as_the_pseudo_inverse_says() -> None:
    """Two copies of e1 and one of e2: Sigma = diag(2/3, 1/3)."""
    rollouts = torch.zeros(1, 1, 3, 4, dtype=torch.float64)
    rollouts[0, 0, :2, 0] = 1
    rollouts[0, 0, 2, 1] = 1
    references = torch.tensor([[[1.0, 1.0, 1.0, 0.0]]], dtype=torch.float64)
    whitened, real = FeatureSpaceWhitening()(
        Features(rollouts, references, (4,)), torch.ones(1, 1, dtype=torch.bool)
    )
    long, longer = (3 / 2) ** 0.5, 3**0.5
    expected = torch.tensor([[long, 0, 0, 0], [long, 0, 0, 0], [0, longer, 0, 0]]).double()
    torch.testing.assert_close(whitened[0, 0], expected)
    torch.testing.assert_close(real[0, 0, 0], torch.tensor([long, longer, 0, 0]).double())


@pytest.mark.parametrize(("singular", "kept"), [(1e-4, True), (2e-5, True), (5e-6, False)])
def test_singular_values_count_from_a_hundred_thousandth_of_the_largest(
    singular: float, kept: bool
) -> None:
    rollouts = torch.diag(torch.tensor([1.0, singular], dtype=torch.float64))[None, None]
    features = Features(rollouts, torch.ones(1, 1, 2, dtype=torch.float64), (2,))
    whitened, _ = SampleSpaceWhitening()(features, torch.ones(1, 1, dtype=torch.bool))
    expected = torch.diag(torch.tensor([1.0, 1.0 if kept else 0.0], dtype=torch.float64))
    torch.testing.assert_close(whitened[0, 0], expected, atol=1e-9, rtol=0)


@pytest.mark.parametrize("whitening", EVERY, ids=lambda one: type(one).__name__)
def test_samples_are_treated_alike(whitening: Whitening) -> None:
    features = _features(4, 7)
    order = torch.tensor([2, 0, 3, 1])
    permuted = Features(features.rollouts[:, :, order], features.references, (7,))
    ours, references = whitening(features, ALL)
    theirs, real = whitening(permuted, ALL)
    torch.testing.assert_close(ours[:, :, order], theirs)
    torch.testing.assert_close(references[:, :, order], real)


@pytest.mark.parametrize("whitening", EVERY, ids=lambda one: type(one).__name__)
def test_references_are_needed(whitening: Whitening) -> None:
    features = Features(_features().rollouts, None, (7,))
    with pytest.raises(UserError, match="no references"):
        whitening(features, ALL)


def test_without_whitening_nothing_changes() -> None:
    features = _features()
    assert features.references is not None
    rollouts, references = NoWhitening()(features, ALL)
    assert torch.equal(rollouts, features.rollouts)
    assert torch.equal(references, features.references.unsqueeze(2).expand_as(rollouts))


@pytest.mark.parametrize(("count", "width"), [(30, 6), (4, 9), (1, 5), (6, 6)])
@pytest.mark.parametrize("shrinkage", [0.01, 0.1, 0.7, 1.0])
def test_metric_equals_the_dense_inverse_root(count: int, width: int, shrinkage: float) -> None:
    rows = torch.randn(count, width, generator=seeded(count), dtype=torch.float64)
    rows = rows * torch.linspace(0.2, 3, width, dtype=torch.float64)
    metric = Metric.of(rows, shrinkage)
    moment = rows.T @ rows / count
    shrunk = (1 - shrinkage) * moment
    shrunk += shrinkage * moment.trace() / width * torch.eye(width, dtype=torch.float64)
    values, vectors = torch.linalg.eigh(shrunk)
    root = vectors @ torch.diag(values.rsqrt()) @ vectors.T
    scale = width**0.5
    expected = rows @ root / scale
    torch.testing.assert_close(metric(rows), expected, atol=1e-10, rtol=0)
    assert metric.size == width
    # It is linear, and also maps what is not in the span of the rows.
    other = torch.randn(3, 2, width, generator=seeded(1), dtype=torch.float64)
    torch.testing.assert_close(metric(other), other @ root / scale, atol=1e-10, rtol=0)


def test_a_full_shrinkage_only_scales() -> None:
    rows = torch.randn(8, 5, generator=seeded(0), dtype=torch.float64)
    mapped = Metric.of(rows, 1.0)(rows)
    ratio = mapped / rows
    torch.testing.assert_close(ratio, ratio[0, 0].expand_as(ratio))


def test_metric_keeps_the_precision_it_is_given() -> None:
    metric = Metric.of(torch.randn(8, 5, generator=seeded(0)))
    assert metric(torch.ones(2, 5)).dtype == torch.float32
    assert metric(torch.ones(2, 5, dtype=torch.float64)).dtype == torch.float64


@pytest.mark.parametrize("shrinkage", [0.0, -0.1, 1.1, float("nan")])
def test_shrinkage_out_of_range(shrinkage: float) -> None:
    with pytest.raises(UserError, match=f"shrinkage is {shrinkage}"):
        Metric.of(torch.ones(2, 3), shrinkage)
    with pytest.raises(UserError, match=f"shrinkage is {shrinkage}"):
        BatchMetricWhitening(shrinkage)


@pytest.mark.parametrize("rows", [torch.zeros(0, 3), torch.zeros(4, 3)])
def test_nothing_to_whiten_by(rows: Tensor) -> None:
    with pytest.raises(UserError, match="there is nothing to whiten by"):
        Metric.of(rows)


def test_a_metric_for_other_features_is_refused() -> None:
    whitening = MetricWhitening(Metric.of(torch.eye(3)))
    with pytest.raises(UserError, match="metric is for 3 features and these have 7"):
        whitening(_features(), ALL)


def test_a_fixed_metric_maps_rollouts_and_references_alike() -> None:
    metric = Metric.of(torch.randn(9, 7, generator=seeded(5), dtype=torch.float64))
    features = _features()
    assert features.references is not None
    rollouts, references = MetricWhitening(metric)(features, ALL)
    torch.testing.assert_close(rollouts, metric(features.rollouts))
    torch.testing.assert_close(references[:, :, 2], metric(features.references))


def test_the_batch_metric_is_that_of_the_valid_references() -> None:
    features = _features()
    assert features.references is not None
    mask = torch.tensor([[True, False, True], [True, True, False]])
    ours = BatchMetricWhitening(0.2)(features, mask)
    metric = Metric.of(features.references[mask], 0.2)
    theirs = MetricWhitening(metric)(features, mask)
    torch.testing.assert_close(ours[0], theirs[0])
    torch.testing.assert_close(ours[1], theirs[1])
    none = BatchMetricWhitening(0.2)(features, torch.zeros_like(mask))
    assert torch.equal(none[0], features.rollouts)


def test_what_is_made_of_the_rollouts_it_whitens_says_that_it_is_biased() -> None:
    biased = {type(whitening): whitening.bias for whitening in EVERY if whitening.bias}
    assert set(biased) == {FeatureSpaceWhitening, SampleSpaceWhitening}
    assert all("very rollouts it is applied to" in reason for reason in biased.values())
