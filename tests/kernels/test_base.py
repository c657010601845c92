"""Kernels of continuations add and scale, and stay kernels."""

from __future__ import annotations

import pytest
import torch

from ebmlm.energies import KernelMatchingEnergy
from ebmlm.errors import UserError
from ebmlm.features import FeatureSpaceWhitening
from ebmlm.kernels import (
    FeatureKernel,
    Gaussian,
    Kernel,
    KernelValues,
    Linear,
    NGramKernel,
    ScaledKernel,
    SubsequenceKernel,
    SumKernel,
)
from ebmlm.testing import check_energy
from tests.exact import Toy
from tests.helpers import seeded
from tests.kernels.helpers import table_features


def values(kernel: Kernel) -> torch.Tensor:
    return kernel(Toy(vocabulary=3, ends=(1,)).groups(2)).gram()


def test_a_gram_matrix_is_cut_and_put_together() -> None:
    gram = torch.randn(2, 3, 5, 5, generator=seeded(0))
    gram = gram + gram.mT
    cut = KernelValues.of_gram(gram)
    assert cut.pairs.shape == (2, 3, 4, 4)
    assert torch.equal(cut.references, gram[..., 4, :4])
    assert torch.equal(cut.own, gram[..., 4, 4])
    assert torch.equal(cut.gram(), gram)


def test_they_add_and_scale() -> None:
    words, gaps = NGramKernel([1.0]), SubsequenceKernel(0.5)
    expected = values(words) + 0.25 * values(gaps)
    torch.testing.assert_close(values(words + 0.25 * gaps), expected)
    torch.testing.assert_close(values(words + gaps * 0.25), expected)
    assert values(0.0 * words).eq(0).all()


def test_sums_and_multiples_are_flat() -> None:
    one, two, three = NGramKernel([1.0]), NGramKernel([0.0, 1.0]), SubsequenceKernel()
    total = one + two + (three + one)
    assert isinstance(total, SumKernel)
    assert total.kernels == (one, two, three, one)
    scaled = 0.5 * (4 * one)
    assert isinstance(scaled, ScaledKernel)
    assert (scaled.kernel, scaled.factor) == (one, 2.0)


def test_a_bias_is_passed_on() -> None:
    plain = NGramKernel()
    biased = FeatureKernel(table_features(), Linear(), FeatureSpaceWhitening())
    assert biased.bias
    assert (plain + plain).bias is (2 * plain).bias is None
    assert (plain + biased + 2 * biased).bias == biased.bias


def test_matching_under_a_sum_keeps_every_law() -> None:
    kernel = 0.5 * FeatureKernel(table_features(), Gaussian()) + NGramKernel([1.0, 0.5])
    assert check_energy(KernelMatchingEnergy(kernel), examples=10)


@pytest.mark.parametrize("factor", [-1.0, float("nan"), float("inf")])
def test_what_is_no_kernel_is_refused(factor: float) -> None:
    with pytest.raises(UserError, match=f"a kernel times {factor}"):
        factor * NGramKernel()
    with pytest.raises(UserError, match="no kernels"):
        SumKernel([])
