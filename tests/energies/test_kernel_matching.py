"""The kernel-matching energy by hand, against feature matching, and by enumeration."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ebmlm.energies import (
    FeatureMatchingEnergy,
    KernelMatchingEnergy,
    KLEnergy,
    kernel_matching_terms,
    squared_discrepancy,
)
from ebmlm.errors import UserError
from ebmlm.estimators import RLOO, Estimator, Reinforce
from ebmlm.features import (
    BatchMetricWhitening,
    FeatureMap,
    Features,
    FeatureSpaceWhitening,
    HiddenStateFeatures,
    NoWhitening,
    Unnormalised,
    Whitening,
)
from ebmlm.kernels import (
    FeatureKernel,
    Gaussian,
    Kernel,
    KernelValues,
    Linear,
    NGramKernel,
    NormalisedKernel,
    SubsequenceKernel,
)
from ebmlm.objectives import PolicyObjective
from ebmlm.rollouts import Rollouts, Scores
from ebmlm.samplers import BlockParallelSampler, StridedAnchors
from ebmlm.testing import check_energy
from tests.exact import Toy, exact_gradient, expectation, expected_estimate
from tests.helpers import packed_batch, pair, seeded

TOYS = {
    "three tokens": Toy(vocabulary=3),
    "end token": Toy(vocabulary=3, ends=(1,)),
    "longer": Toy(horizon=3, ends=(1,)),
}


def features_of(toy: Toy, apart: bool = False) -> HiddenStateFeatures:
    return HiddenStateFeatures(toy.model.frozen(), normalisation=Unnormalised(), apart=apart)


def kernels_of(toy: Toy) -> dict[str, Kernel]:
    return {
        "Gaussian": FeatureKernel(features_of(toy), Gaussian(0.7)),
        "n-grams": NGramKernel([0.5, 2.0]),
        "subsequences": NormalisedKernel(SubsequenceKernel(0.6)),
    }


def test_by_hand() -> None:
    values = KernelValues(
        torch.tensor([[[[1.0, 0.5, 0.25], [0.5, 1.0, 0.0], [0.25, 0.0, 1.0]]]]),
        torch.tensor([[[0.75, 0.5, 0.25]]]),
        torch.tensor([[1.0]]),
    )
    terms = kernel_matching_terms(values)
    assert terms.unary.tolist() == [[[-1.5, -1.0, -0.5]]]
    assert terms.pairwise is not None
    assert terms.pairwise.tolist() == [[[[0, 1, 0.5], [1, 0, 0], [0.5, 0, 0]]]]
    assert terms.per_sample().tolist() == [[[-1.5 + 0.75, -1 + 0.5, -0.5 + 0.25]]]
    assert terms.metrics["alignment"].tolist() == [[1.0]]
    assert terms.metrics["diversity"].tolist() == [[0.5]]
    # Mean likeness of pairs 1/4, to the reference 1/2.
    assert squared_discrepancy(values).tolist() == [[0.25 - 2 * 0.5 + 1]]
    terms = kernel_matching_terms(values, alignment=0.5, diversity=2.0)
    assert terms.unary.tolist() == [[[-0.75, -0.5, -0.25]]]
    assert terms.per_sample().tolist() == [[[-0.75 + 1.5, -0.5 + 1, -0.25 + 0.5]]]
    # Reported without their coefficients.
    assert terms.metrics["alignment"].tolist() == [[1.0]]
    assert terms.metrics["diversity"].tolist() == [[0.5]]
    assert kernel_matching_terms(values, diversity=0.0).pairwise is None


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize(
    "whitening", [NoWhitening(), FeatureSpaceWhitening(), BatchMetricWhitening()]
)
@pytest.mark.parametrize(("alignment", "diversity"), [(1.0, 1.0), (0.3, 0.5), (1.0, 0.0)])
def test_under_the_linear_kernel_it_is_feature_matching(
    whitening: Whitening, apart: bool, alignment: float, diversity: float
) -> None:
    toy = TOYS["end token"]
    features, groups = features_of(toy, apart), toy.groups(3)
    scores = Scores(torch.zeros(groups.completions.shape))
    kernel = FeatureKernel(features, Linear(), whitening)
    ours = KernelMatchingEnergy(kernel, alignment, diversity)(groups, scores)
    theirs = FeatureMatchingEnergy(features, alignment, diversity, whitening)(groups, scores)
    assert float(theirs.unary.abs().max()) > 0.01
    torch.testing.assert_close(ours.unary, theirs.unary, atol=1e-12, rtol=1e-12)
    torch.testing.assert_close(ours.pairwise, theirs.pairwise, atol=1e-12, rtol=1e-12)
    assert ours.metrics.keys() == theirs.metrics.keys()
    for name, value in theirs.metrics.items():
        torch.testing.assert_close(ours.metrics[name], value, atol=1e-12, rtol=1e-12)


def gram_of(toy: Toy, kernel: Kernel) -> tuple[Tensor, Tensor, Tensor]:
    """``k`` between all completions, of each with the real one, and of the real one with itself."""
    values = kernel(toy.groups(2))
    count = len(toy.listed())
    pairs = values.pairs[:, 0, 0, 1].view(count, count)
    return pairs, values.references[:, 0, 0].view(count, count)[:, 0], values.own[0, 0]


def discrepancy(
    toy: Toy, kernel: Kernel, probabilities: Tensor, alignment: float = 1, diversity: float = 1
) -> Tensor:
    pairs, real, own = gram_of(toy, kernel)
    return (
        diversity * (probabilities @ pairs @ probabilities)
        - 2 * alignment * (probabilities @ real)
        + own
    )


@pytest.mark.parametrize("kernel", ["Gaussian", "n-grams", "subsequences"])
@pytest.mark.parametrize("name", TOYS)
def test_the_discrepancy_is_estimated_without_bias(name: str, kernel: str) -> None:
    toy = TOYS[name]
    chosen = kernels_of(toy)[kernel]

    def estimated(drawn: Rollouts, scores: Scores) -> Tensor:
        return squared_discrepancy(chosen(drawn))[:, 0]

    expected = discrepancy(toy, chosen, toy.log_probabilities(toy.model).detach().exp())
    assert float(expected) > 0.01
    for samples in (2, 3):
        found = expectation(toy, samples, estimated)
        assert float(found) == pytest.approx(float(expected), abs=1e-10)


@pytest.mark.parametrize("estimator", [RLOO(), Reinforce()])
@pytest.mark.parametrize("kernel", ["Gaussian", "n-grams", "subsequences"])
@pytest.mark.parametrize("name", TOYS)
def test_the_gradient_is_exact(name: str, kernel: str, estimator: Estimator) -> None:
    toy = TOYS[name]
    chosen = kernels_of(toy)[kernel]

    def functional(probabilities: Tensor) -> Tensor:
        return discrepancy(toy, chosen, probabilities, 1.0, 0.5)

    expected = exact_gradient(toy, functional)
    assert expected.abs().max() > 1e-3
    found = expected_estimate(toy, 3, KernelMatchingEnergy(chosen, 1.0, 0.5), estimator)
    torch.testing.assert_close(found, expected, atol=1e-10, rtol=0)


def test_it_keeps_every_law() -> None:
    """The exact first variation among them; each kernel's own test holds the others to them."""
    kernel = FeatureKernel(features_of(TOYS["three tokens"]), Gaussian(0.5))
    energy = KernelMatchingEnergy(kernel, 1.0, 0.5) + 0.1 * KLEnergy()
    assert check_energy(energy, examples=15)
    assert check_energy(KernelMatchingEnergy(kernel, diversity=0.0), examples=15)


@pytest.mark.parametrize("mixed", [False, True])
def test_a_model_of_lower_precision_learns_from_words(mixed: bool) -> None:
    """Kernels of strings are float64; parameters and their gradient stay float32."""
    model, _ = pair("llama", torch.float32)
    sampler = BlockParallelSampler(StridedAnchors(4, 3), 4, 3)
    energy = KernelMatchingEnergy(NormalisedKernel(NGramKernel([1.0, 1.0])))
    objective = PolicyObjective(sampler, energy, RLOO(), cross_entropy=0.03)
    with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
        estimate = objective.loss(model, packed_batch(vocabulary=5), generator=seeded(0))
    estimate.loss.backward()
    found = [each.grad for each in model.model.parameters() if each.grad is not None]
    assert found
    assert all(each.dtype == torch.float32 and each.isfinite().all() for each in found)
    assert float(estimate.metrics["alignment"]) > 0


class _Given(FeatureMap):
    def __init__(self, features: Features) -> None:
        self.features = features

    def __call__(self, rollouts: Rollouts) -> Features:
        return self.features


def test_references_are_needed() -> None:
    groups = Toy().groups(2)
    sampled = torch.randn(len(groups.batch), 1, 2, 3, generator=seeded(0))
    kernel = FeatureKernel(_Given(Features(sampled, None, (3,))), Linear())
    with pytest.raises(UserError, match="no references"):
        KernelMatchingEnergy(kernel)(groups, Scores(torch.zeros(groups.completions.shape)))


def test_a_single_sample_has_alignment_alone() -> None:
    kernel = NGramKernel()
    assert KernelMatchingEnergy(kernel).minimum_samples == 2
    assert KernelMatchingEnergy(kernel, diversity=0.0).minimum_samples == 1
    values = kernel(Toy().groups(1))
    assert kernel_matching_terms(values).metrics["diversity"].eq(0).all()
    with pytest.raises(UserError, match="1 sample per anchor"):
        squared_discrepancy(values)


def test_it_is_biased_where_its_kernel_is() -> None:
    features = features_of(Toy())
    for whitening in (NoWhitening(), FeatureSpaceWhitening()):
        kernel = FeatureKernel(features, Linear(), whitening)
        assert KernelMatchingEnergy(kernel).bias == whitening.bias
    assert KernelMatchingEnergy(NGramKernel()).bias is None


@pytest.mark.parametrize("name", ["alignment", "diversity"])
@pytest.mark.parametrize("value", [-0.5, float("nan"), float("inf")])
def test_coefficients_out_of_range(name: str, value: float) -> None:
    with pytest.raises(UserError, match=f"{name} is {value}"):
        KernelMatchingEnergy(NGramKernel(), **{name: value})
