"""Noise of a gradient, told apart by drawing twice."""

from __future__ import annotations

import pytest
import torch

from ebmlm.errors import UserError
from ebmlm.evaluation.gradient_noise import signal_to_noise
from ebmlm.evaluation.noise_sources import noise_sources


def test_text_and_draws_are_told_apart() -> None:
    """Gradients of a known mean, with noise of known variance from either source."""
    generator = torch.Generator().manual_seed(5)
    batches, width, mean = 400, 30, 2.0

    def normal(scale: float) -> torch.Tensor:
        return scale * torch.randn(batches, width, generator=generator, dtype=torch.float64)

    expected = torch.zeros(width, dtype=torch.float64)
    expected[0] = mean
    text = normal(0.5)
    found = noise_sources([expected + text + normal(1.5) for _ in range(2)])
    assert found.signal == pytest.approx(mean**2, rel=0.1)
    assert found.text == pytest.approx(0.25 * width, rel=0.15)
    assert found.draws == pytest.approx(2.25 * width, rel=0.05)
    assert abs(found.ratio - mean**2 / (2.5 * width)) < 4 * found.standard_error


def test_without_randomness_all_noise_is_of_the_text() -> None:
    gradients = torch.randn(6, 9, generator=torch.Generator().manual_seed(6))
    found, plain = noise_sources([gradients, gradients]), signal_to_noise(gradients)
    assert found.draws == pytest.approx(0.0, abs=1e-12)
    assert (found.signal, found.text) == pytest.approx((plain.signal, plain.noise))
    assert found.ratio == pytest.approx(plain.ratio)


def test_sources_need_two_draws_of_the_same_batches() -> None:
    with pytest.raises(UserError, match="1 draws of each batch"):
        noise_sources([torch.ones(4, 2)])
    with pytest.raises(UserError, match="2 batches: give the same ones, at least 3, twice"):
        noise_sources([torch.ones(2, 2)] * 2)
