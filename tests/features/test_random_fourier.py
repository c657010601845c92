"""Random Fourier features against the kernels that they stand for."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ebmlm.errors import UserError
from ebmlm.features import GaussianSpectrum, LaplaceSpectrum, RandomFourierFeatures, Spectrum
from tests.features.maps import Undeclared, given, some_rollouts

ROLLOUTS = some_rollouts()
FREQUENCIES = 20_000


def _gaussian(left: Tensor, right: Tensor, bandwidth: float) -> Tensor:
    return torch.exp(-(left - right).square().sum(-1) / (2 * bandwidth**2))


def _laplace(left: Tensor, right: Tensor, bandwidth: float) -> Tensor:
    return torch.exp(-(left - right).abs().sum(-1) / bandwidth)


@pytest.mark.parametrize(
    ("spectrum", "kernel"),
    [
        (GaussianSpectrum(1.0), lambda x, y: _gaussian(x, y, 1.0)),
        (GaussianSpectrum(2.5), lambda x, y: _gaussian(x, y, 2.5)),
        (LaplaceSpectrum(1.0), lambda x, y: _laplace(x, y, 1.0)),
        (LaplaceSpectrum(4.0), lambda x, y: _laplace(x, y, 4.0)),
    ],
)
def test_inner_products_are_the_kernel_to_five_standard_errors(
    spectrum: Spectrum, kernel: object
) -> None:
    features = given(3)
    made = RandomFourierFeatures(features, spectrum, FREQUENCIES)(ROLLOUTS)
    raw = features(ROLLOUTS).rollouts[ROLLOUTS.anchor_mask]
    waves = made.rollouts[ROLLOUTS.anchor_mask]
    found = waves @ waves.mT
    assert callable(kernel)
    expected = kernel(raw.unsqueeze(-2), raw.unsqueeze(-3))
    assert (found - expected).abs().max() < 5 * (2 * FREQUENCIES) ** -0.5
    torch.testing.assert_close(
        found.diagonal(dim1=-2, dim2=-1), torch.ones(5, 4, dtype=torch.float64)
    )


def test_nothing_stands_at_invalid_anchors() -> None:
    made = RandomFourierFeatures(given(3), frequencies=4)(ROLLOUTS)
    assert made.blocks == (8,)
    assert made.references is not None
    assert not made.rollouts[~ROLLOUTS.anchor_mask].any()
    assert not made.references[~ROLLOUTS.anchor_mask].any()


def test_the_same_seed_is_the_same_map() -> None:
    one, two, other = (
        RandomFourierFeatures(given(3), frequencies=4, seed=seed)(ROLLOUTS).rollouts
        for seed in (1, 1, 2)
    )
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


def test_what_does_not_fit_is_refused_when_it_is_put_together() -> None:
    for bandwidth in (0.0, -1.0, float("nan"), float("inf")):
        for spectrum in (GaussianSpectrum, LaplaceSpectrum):
            with pytest.raises(UserError, match=f"bandwidth is {bandwidth}"):
                spectrum(bandwidth)
    with pytest.raises(UserError, match="frequencies is 0"):
        RandomFourierFeatures(given(3), frequencies=0)
    with pytest.raises(UserError, match="width of Undeclared is not known"):
        RandomFourierFeatures(Undeclared(torch.zeros(2, 3, 4, 5), None))
