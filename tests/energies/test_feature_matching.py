"""The feature-matching energy by hand, by loops and by enumeration."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor

from ebmlm.energies import (
    EnergyTerms,
    FeatureMatchingEnergy,
    KLEnergy,
    cosine,
    feature_matching_terms,
    inner_product,
)
from ebmlm.errors import UserError
from ebmlm.features import (
    BatchMetricWhitening,
    FeatureMap,
    Features,
    FeatureSpaceWhitening,
    HiddenStateFeatures,
    NoWhitening,
    SampleSpaceWhitening,
    Unnormalised,
    Whitening,
)
from ebmlm.rollouts import Rollouts, Scores
from ebmlm.testing.strategies import features as any_features
from tests.exact import Toy, expectation
from tests.helpers import seeded

ONE = torch.ones(1, 1, dtype=torch.bool)


def test_by_hand() -> None:
    """phi = (1, 0), (0, 2), (1, 1) against (3, 1)."""
    features = Features(
        torch.tensor([[[[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]]]]), torch.tensor([[[3.0, 1.0]]]), (2,)
    )
    terms = feature_matching_terms(features, ONE)
    assert terms.unary.tolist() == [[[-6.0, -4.0, -8.0]]]
    assert terms.pairwise is not None
    assert terms.pairwise.tolist() == [[[[0, 0, 2], [0, 0, 4], [2, 4, 0]]]]
    assert terms.per_sample().tolist() == [[[-6 + 1, -4 + 2, -8 + 3]]]
    assert terms.metrics["alignment"].tolist() == [[6.0]]
    assert terms.metrics["diversity"].tolist() == [[2.0]]
    terms = feature_matching_terms(features, ONE, alignment=0.5, diversity=2.0)
    assert terms.unary.tolist() == [[[-3.0, -2.0, -4.0]]]
    assert terms.per_sample().tolist() == [[[-3 + 2, -2 + 4, -4 + 6]]]
    # Reported without their coefficients.
    assert terms.metrics["alignment"].tolist() == [[6.0]]
    assert terms.metrics["diversity"].tolist() == [[2.0]]
    terms = feature_matching_terms(features, ONE, similarity=cosine)
    root = 10**0.5
    expected = torch.tensor([[[-2 * 3 / root, -2 * 1 / root, -2 * 4 / root / 2**0.5]]])
    torch.testing.assert_close(terms.unary, expected)


@given(
    st.integers(1, 5),
    st.sampled_from([NoWhitening(), FeatureSpaceWhitening(), SampleSpaceWhitening()]),
    st.sampled_from([inner_product, cosine]),
    st.booleans(),
)
def test_equals_the_loop(
    samples: int, whitening: Whitening, similarity: object, apart: bool
) -> None:
    """Block by block, the mean over blocks."""
    rollouts = torch.randn(2, 2, samples, 6, generator=seeded(samples), dtype=torch.float64)
    references = torch.randn(2, 2, 6, generator=seeded(9), dtype=torch.float64)
    features = Features(rollouts, references, (2, 4) if apart else (6,))
    mask = torch.ones(2, 2, dtype=torch.bool)
    terms = feature_matching_terms(
        features,
        mask,
        alignment=0.7,
        diversity=0.4,
        whitening=whitening,
        similarity=similarity,  # type: ignore[arg-type]
    )
    assert terms.pairwise is not None
    blocks = features.split()
    assert len(blocks) == (2 if apart else 1)
    for row in range(2):
        for place in range(2):
            for j in range(samples):
                aligned = 0.0
                paired = [0.0] * samples
                for block in blocks:
                    white, real = (part[row, place] for part in whitening(block, mask))
                    product = float(white[j] @ real[j])
                    if similarity is cosine:
                        product /= float(white[j].norm() * real[j].norm())
                    aligned += product / len(blocks)
                    for k in range(samples):
                        if k != j:
                            paired[k] += float(white[j] @ white[k]) / len(blocks)
                assert float(terms.unary[row, place, j]) == pytest.approx(-2 * 0.7 * aligned)
                for k in range(samples):
                    expected = 2 * 0.4 * paired[k]
                    assert float(terms.pairwise[row, place, j, k]) == pytest.approx(
                        expected, abs=1e-9
                    )


def test_pairs_are_symmetric_with_a_zero_diagonal() -> None:
    features = Features(
        torch.randn(2, 3, 4, 5, generator=seeded(0)),
        torch.randn(2, 3, 5, generator=seeded(1)),
        (5,),
    )
    pairwise = feature_matching_terms(features, torch.ones(2, 3, dtype=torch.bool)).pairwise
    assert pairwise is not None
    torch.testing.assert_close(pairwise, pairwise.mT)
    assert (pairwise.diagonal(dim1=-2, dim2=-1) == 0).all()
    assert pairwise.abs().max() > 1


WHITENINGS = [
    NoWhitening(),
    FeatureSpaceWhitening(),
    SampleSpaceWhitening(),
    BatchMetricWhitening(),
]


def _terms(
    features: Features, whitening: Whitening, similarity: Callable[[Tensor, Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    valid = torch.ones(features.rollouts.shape[:2], dtype=torch.bool)
    terms = feature_matching_terms(features, valid, whitening=whitening, similarity=similarity)
    assert terms.pairwise is not None
    return terms.unary, terms.pairwise


@given(any_features(), st.sampled_from(WHITENINGS), st.sampled_from([inner_product, cosine]))
def test_features_of_every_kind_have_finite_terms_and_symmetric_pairs(
    drawn: Features, whitening: Whitening, similarity: Callable[[Tensor, Tensor], Tensor]
) -> None:
    unary, pairwise = _terms(drawn, whitening, similarity)
    assert unary.isfinite().all()
    assert pairwise.isfinite().all()
    torch.testing.assert_close(pairwise, pairwise.mT, rtol=1e-9, atol=1e-9)
    assert (pairwise.diagonal(dim1=-2, dim2=-1) == 0).all()
    if similarity is cosine:
        assert (unary.abs() <= 2 + 1e-9).all()


# The cosine of a vector that whitening takes to nothing is that of its rounding error: in sample
# space where factors cancel, in feature space for a rollout without any feature.
ALIKE = [
    *[(whitening, inner_product) for whitening in WHITENINGS],
    *[(whitening, cosine) for whitening in WHITENINGS if whitening.bias is None],
    (FeatureSpaceWhitening(), cosine),
]


@given(any_features(), st.sampled_from(ALIKE), st.data())
def test_samples_of_features_of_every_kind_are_treated_alike(
    drawn: Features,
    how: tuple[Whitening, Callable[[Tensor, Tensor], Tensor]],
    data: st.DataObject,
) -> None:
    assume(how[0].bias is None or how[1] is inner_product or drawn.rollouts.any(-1).all())
    order = torch.tensor(data.draw(st.permutations(range(drawn.rollouts.shape[2]))))
    permuted = dataclasses.replace(drawn, rollouts=drawn.rollouts[:, :, order])
    unary, pairwise = _terms(drawn, *how)
    expected = unary[:, :, order], pairwise[:, :, order][..., order]
    for found, hand in zip(_terms(permuted, *how), expected, strict=True):
        largest = max(1.0, float(hand.abs().max()))
        torch.testing.assert_close(found, hand, atol=1e-6 * largest, rtol=0)


def test_cosine_of_nothing_is_zero() -> None:
    left = torch.tensor([[0.0, 0.0], [1e-15, 0.0], [3.0, 4.0]])
    right = torch.tensor([[1.0, 0.0], [1.0, 0.0], [6.0, 8.0]])
    assert cosine(left, right).tolist() == pytest.approx([0.0, 1.0, 1.0])
    assert inner_product(left[2], right[2]) == 50


TOYS = [Toy(vocabulary=3), Toy(vocabulary=3, ends=(1,)), Toy(horizon=3)]


def _features(toy: Toy) -> HiddenStateFeatures:
    return HiddenStateFeatures(toy.model.frozen(), normalisation=Unnormalised())


@pytest.mark.parametrize("toy", TOYS)
@pytest.mark.parametrize("samples", [2, 3])
def test_the_functional_is_estimated_without_bias(toy: Toy, samples: int) -> None:
    """``|E_p phi - phi*|^2`` less ``|phi*|^2``, plus the divergence: exact in expectation."""
    energy = FeatureMatchingEnergy(_features(toy)) + 0.3 * KLEnergy()
    found = expectation(
        toy, samples, lambda drawn, scores: energy(drawn, scores).functional()[:, 0]
    )
    features = _features(toy)(toy.groups(1))
    assert features.references is not None
    log_p = toy.log_probabilities(toy.model).detach()
    ratio = log_p - toy.log_probabilities(toy.reference).detach()
    moment = log_p.exp() @ features.rollouts[:, 0, 0]
    real = features.references[0, 0]
    distance = (moment - real).square().sum() - real.square().sum()
    expected = distance + 0.3 * (log_p.exp() * ratio).sum()
    assert float(found) == pytest.approx(float(expected), abs=1e-10)


def test_the_energy_of_a_sample_is_the_first_variation() -> None:
    """Given itself, the mean over the others: ``2 phi . (E_p phi - phi*)``."""
    toy = Toy(vocabulary=3)
    energy = FeatureMatchingEnergy(_features(toy))
    features = _features(toy)(toy.groups(1))
    assert features.references is not None
    phi, real = features.rollouts[:, 0, 0], features.references[0, 0]
    probabilities = toy.log_probabilities(toy.model).detach().exp()
    expected = 2 * phi @ (probabilities @ phi - real)
    for number, completion in enumerate(toy.listed()):

        def own(drawn: Rollouts, scores: Scores, completion: Tensor = completion) -> Tensor:
            mine = (drawn.completions[:, 0, 0] == completion).all(-1)
            return torch.where(mine, energy(drawn, scores).per_sample()[:, 0, 0], 0)

        mean = expectation(toy, 3, own) / probabilities[number]
        assert float(mean) == pytest.approx(float(expected[number]), abs=1e-10)


class _Given(FeatureMap):
    def __init__(self, features: Features) -> None:
        self.features = features

    def __call__(self, rollouts: Rollouts) -> Features:
        return self.features


def _given(references: bool = True) -> tuple[FeatureMap, Rollouts]:
    groups = Toy().groups(2)
    rows = len(groups.batch)
    rollouts = torch.randn(rows, 1, 2, 3, generator=seeded(0), requires_grad=True)
    real = torch.randn(rows, 1, 3, generator=seeded(1)) if references else None
    return _Given(Features(rollouts, real, (3,))), groups


def test_the_energy_puts_its_parts_together_without_gradient() -> None:
    features, groups = _given()
    energy = FeatureMatchingEnergy(features, 0.5, 0.7, SampleSpaceWhitening(), cosine)
    terms = energy(groups, Scores(torch.zeros(groups.completions.shape)))
    expected = feature_matching_terms(
        features(groups),
        groups.anchor_mask,
        alignment=0.5,
        diversity=0.7,
        whitening=SampleSpaceWhitening(),
        similarity=cosine,
    )
    torch.testing.assert_close(terms.unary, expected.unary.detach())
    assert not terms.unary.requires_grad
    assert isinstance(terms, EnergyTerms)


def test_references_are_needed() -> None:
    features, groups = _given(references=False)
    with pytest.raises(UserError, match="no references"):
        FeatureMatchingEnergy(features)(groups, Scores(torch.zeros(groups.completions.shape)))
    split = features(groups).split()
    assert split[0].references is None


def test_it_is_biased_where_its_whitening_is() -> None:
    for whitening in WHITENINGS:
        assert FeatureMatchingEnergy(_given()[0], whitening=whitening).bias == whitening.bias
    assert FeatureMatchingEnergy(_given()[0]).bias is None
    assert FeatureMatchingEnergy(_given()[0], whitening=FeatureSpaceWhitening()).bias


@pytest.mark.parametrize("name", ["alignment", "diversity"])
@pytest.mark.parametrize("value", [-0.5, float("nan"), float("inf")])
def test_coefficients_out_of_range(name: str, value: float) -> None:
    with pytest.raises(UserError, match=f"{name} is {value}"):
        FeatureMatchingEnergy(_given()[0], **{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("whitening", [NoWhitening(), FeatureSpaceWhitening()])
def test_samples_are_treated_alike(whitening: Whitening) -> None:
    features, groups = _given()
    made = features(groups)
    order = torch.tensor([1, 0])
    swapped = dataclasses.replace(made, rollouts=made.rollouts[:, :, order])
    ones = groups.anchor_mask
    ours = feature_matching_terms(made, ones, whitening=whitening)
    theirs = feature_matching_terms(swapped, ones, whitening=whitening)
    torch.testing.assert_close(ours.unary[:, :, order], theirs.unary)
    torch.testing.assert_close(ours.pairwise, theirs.pairwise)


def test_products_are_not_rounded_where_networks_are() -> None:
    """Inside autocast features are what they are; advantages are their small differences."""
    features = Features(
        torch.randn(1, 2, 4, 32, generator=seeded(0)),
        torch.randn(1, 2, 32, generator=seeded(1)),
        (32,),
    )
    mask = torch.ones(1, 2, dtype=torch.bool)
    for similarity in (inner_product, cosine):
        expected = feature_matching_terms(features, mask, similarity=similarity)
        with torch.autocast("cpu", torch.bfloat16):
            found = feature_matching_terms(features, mask, similarity=similarity)
        assert found.unary.dtype == torch.float32
        assert torch.equal(found.unary, expected.unary)
        assert found.pairwise is not None and expected.pairwise is not None
        assert torch.equal(found.pairwise, expected.pairwise)
