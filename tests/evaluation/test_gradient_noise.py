"""Signal and noise of gradients, of which both are known."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ebmlm.errors import UserError
from ebmlm.estimators import Estimate
from ebmlm.evaluation.gradient_noise import (
    expected_cosine,
    gradient_sketches,
    noise_sources,
    signal_to_noise,
)
from ebmlm.language_model import LanguageModel
from ebmlm.objectives import CrossEntropy, ItemCounts, Objective
from ebmlm.rollouts import SequenceBatch
from ebmlm.testing import TabularLanguageModel
from tests.helpers import seeded


class _Noisy(Objective):
    """Its gradient is a fixed vector and noise drawn from the generator it is given."""

    def __init__(self, parameters: list[nn.Parameter], signal: float, noise: float) -> None:
        self.parameters, self.signal, self.noise = parameters, signal, noise

    def loss(
        self,
        model: LanguageModel,
        batch: SequenceBatch,
        *,
        counts: ItemCounts | None = None,
        generator: torch.Generator | None = None,
    ) -> Estimate:
        loss = torch.zeros(())
        for parameter in self.parameters:
            drawn = torch.randn(parameter.shape, generator=generator)
            loss = loss + ((self.signal + self.noise * drawn) * parameter).sum()
        return Estimate(loss)

    def counts(self, batch: SequenceBatch) -> ItemCounts:
        return ItemCounts(0, 0)


MODEL = TabularLanguageModel(3, 2)
BATCH = SequenceBatch.of(torch.tensor([[0, 1, 2, 1]]))


def _parameters() -> list[nn.Parameter]:
    return [nn.Parameter(torch.zeros(11, 10)), nn.Parameter(torch.zeros(90))]


def test_it_finds_the_signal_and_the_noise() -> None:
    parameters = _parameters()
    objective = _Noisy(parameters, 0.1, 0.5)
    sketches = gradient_sketches(objective, MODEL, parameters, [BATCH] * 200, width=256)
    found = signal_to_noise(sketches)
    assert found.batches == 200
    assert found.noise == pytest.approx(200 * 0.25, rel=0.05)
    assert abs(found.signal - 200 * 0.01) < 0.5
    assert abs(found.ratio - 0.04) < 4 * found.standard_error
    assert found.standard_error < 0.01
    assert all(parameter.grad is None for parameter in parameters)


def test_signal_is_unbiased_where_there_is_none() -> None:
    ratios = [
        signal_to_noise(torch.randn(6, 30, generator=seeded(seed))).ratio for seed in range(400)
    ]
    error = torch.tensor(ratios).std() / 20
    assert abs(torch.tensor(ratios).mean()) < 4 * error
    assert min(ratios) < 0


def test_a_sketch_keeps_inner_products() -> None:
    """Of gradients longer than itself, to 5 standard errors."""
    parameters = [nn.Parameter(torch.zeros(3000)), nn.Parameter(torch.zeros(50, 41))]
    objective = _Noisy(parameters, 0.3, 1.0)
    small = gradient_sketches(objective, MODEL, parameters, [BATCH] * 4, width=1024)
    large = gradient_sketches(objective, MODEL, parameters, [BATCH] * 4, width=1 << 13)
    exact = large @ large.T
    lengths = exact.diagonal().sqrt()
    allowed = 5 * (2 / 1024) ** 0.5 * lengths.unsqueeze(0) * lengths.unsqueeze(1)
    assert ((small @ small.T - exact).abs() < allowed).all()


def test_the_same_seed_draws_the_same() -> None:
    parameters = [MODEL.logits]
    batches = [SequenceBatch.of(torch.randint(3, (1, 5), generator=seeded(k))) for k in range(3)]
    one = gradient_sketches(CrossEntropy(), MODEL, parameters, batches, width=64)
    two = gradient_sketches(CrossEntropy(), MODEL, parameters, batches, width=64)
    assert torch.equal(one, two)
    assert one.any()


def test_too_few() -> None:
    parameters = _parameters()
    with pytest.raises(UserError, match="1 batches"):
        gradient_sketches(_Noisy(parameters, 1, 1), MODEL, parameters, [BATCH], width=8)
    with pytest.raises(UserError, match="2 gradients"):
        signal_to_noise(torch.zeros(2, 4))


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


def test_cosines_leave_out_what_the_same_batches_have_in_common() -> None:
    generator = torch.Generator().manual_seed(7)
    batches, width = 300, 40
    common = torch.randn(batches, width, generator=generator, dtype=torch.float64)
    one, other = torch.zeros(2, width, dtype=torch.float64)
    one[0], other[:2] = 3.0, 3.0
    found = expected_cosine([one + common] * 2, [other + common] * 2)
    assert found == pytest.approx(0.5**0.5, abs=0.1)
    both = torch.nn.functional.cosine_similarity(
        (one + common).mean(0), (other + common).mean(0), 0
    )
    assert expected_cosine([one + common] * 2, [one + common] * 2) == pytest.approx(1.0)
    assert both > found
