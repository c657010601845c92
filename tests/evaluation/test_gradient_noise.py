"""Signal and noise of gradients, of which both are known."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from ebmlm.errors import UserError
from ebmlm.estimators import Estimate
from ebmlm.evaluation.gradient_noise import (
    CountSketch,
    agreement,
    gradient_sketches,
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


def test_a_sketch_kept_for_several_objectives_changes_nothing() -> None:
    parameters = _parameters()
    kept = CountSketch(parameters, 64, seed=3)
    for signal in (0.1, 0.4):
        objective = _Noisy(parameters, signal, 0.5)
        anew = gradient_sketches(objective, MODEL, parameters, [BATCH] * 3, width=64, seed=3)
        same = gradient_sketches(objective, MODEL, parameters, [BATCH] * 3, seed=3, sketch=kept)
        assert torch.equal(anew, same)


def test_a_sketch_is_linear_and_takes_no_gradient_as_zero() -> None:
    parameters = _parameters()
    sketch = CountSketch(parameters, 32)
    assert not sketch().any()
    parts = []
    for parameter in parameters:
        sketch.clear()
        parameter.grad = torch.randn(parameter.shape, generator=seeded(5))
        parts.append(sketch())
    for parameter in parameters:
        parameter.grad = torch.randn(parameter.shape, generator=seeded(5))
    assert torch.allclose(sketch(), parts[0] + parts[1], atol=1e-5)
    assert parts[0].any() and parts[1].any()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_signs_are_the_same_on_every_device() -> None:
    found = []
    for device in ("cpu", "cuda"):
        parameter = nn.Parameter(torch.zeros(300, device=device))
        sketch = CountSketch([parameter], 64, seed=1)
        parameter.grad = torch.arange(300.0, device=device)
        found.append(sketch())
    assert torch.equal(*found)


def test_agreement_is_not_that_of_the_common_noise() -> None:
    """Expected gradients at 60 degrees, one twice as long, under noise that both share."""
    rows, size = 400, 50
    first, second = torch.zeros(2, size).unbind()
    first[0] = 1.0
    second[:2] = 2 * torch.tensor([0.5, 0.75**0.5])
    noise = torch.randn(rows, size, generator=seeded(2))
    left, right = first + noise, second + noise
    found = agreement(left, right)
    assert abs(found.cosine - 0.5) < 4 * found.cosine_error
    assert abs(found.length_ratio - 0.5) < 4 * found.length_ratio_error
    assert 0 < found.cosine_error < 0.1 and 0 < found.length_ratio_error < 0.1
    assert agreement(left, left).cosine == pytest.approx(1)


def test_agreement_of_nothing_but_noise_is_none() -> None:
    """Opposite estimates: inner products between different batches are below zero."""
    gradients = torch.tensor([[1.0], [-1.0], [1.0], [-1.0]])
    found = agreement(gradients, gradients)
    assert math.isnan(found.cosine) and math.isnan(found.length_ratio)


def test_agreement_needs_three_rows() -> None:
    with pytest.raises(UserError, match="2 and 2 gradients"):
        agreement(torch.zeros(2, 4), torch.zeros(2, 4))


def test_too_few() -> None:
    parameters = _parameters()
    with pytest.raises(UserError, match="1 batches"):
        gradient_sketches(_Noisy(parameters, 1, 1), MODEL, parameters, [BATCH], width=8)
    with pytest.raises(UserError, match="2 gradients"):
        signal_to_noise(torch.zeros(2, 4))
