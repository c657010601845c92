"""Learning an energy against enumeration: gradients and minimisers."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from ebmlm.energies import ResidualEnergy
from ebmlm.estimators import BinaryNCE, Contrast, ContrastiveLoss, PhaseDifference, RankingNCE
from ebmlm.evaluation import calibrate
from ebmlm.objectives import EnergyObjective
from ebmlm.samplers import AutoregressiveSampler, BlockParallelSampler, GivenAnchors
from ebmlm.targets import EnergyModel, Noise
from tests.exact import Toy
from tests.helpers import seeded
from tests.targets.learned import contrasts, data, energies, kernel, learned, text_batch

TOYS = {
    "plain": Toy(),
    "three tokens": Toy(vocabulary=3),
    "end token": Toy(vocabulary=3, ends=(1,)),
}
SAMPLES = 2


def expected_loss(toy: Toy, energy: ResidualEnergy, loss: ContrastiveLoss, noise: Tensor) -> Tensor:
    """Mean over real completions and groups of noise, by the losses themselves.

    Args:
        noise: log-probabilities (completion,) that the negatives are drawn with, in place of p_LM.
    """
    rollouts, index = contrasts(toy, SAMPLES)
    model = toy.log_probabilities(toy.reference).detach()
    real, negatives = energy.contrast(rollouts)
    ratios = (model - noise)[index]
    found = loss(Contrast(real, negatives, ratios[:, :1], ratios[:, 1:].unsqueeze(1)))
    weights = (data(toy)[index[:, 0]] + noise[index[:, 1:]].sum(-1)).exp()
    return (weights * found.losses[:, 0]).sum()


def binary(toy: Toy, energy: ResidualEnergy, noise: Tensor) -> Tensor:
    """Its two expectations, each over single completions."""
    model = toy.log_probabilities(toy.reference).detach()
    posterior = model - noise - energies(toy, energy) - math.log(SAMPLES)
    real = torch.nn.functional.logsigmoid(posterior)
    fake = torch.nn.functional.logsigmoid(-posterior)
    return -(data(toy).exp() * real).sum() - SAMPLES * (noise.exp() * fake).sum()


def minimised(energy: ResidualEnergy, loss: Callable[[], Tensor]) -> None:
    optimiser = torch.optim.LBFGS(
        energy.module.parameters(),
        max_iter=2000,
        tolerance_grad=1e-13,
        tolerance_change=1e-16,
        line_search_fn="strong_wolfe",
    )

    def step() -> Tensor:
        optimiser.zero_grad()
        value = loss()
        value.backward()
        return value

    optimiser.step(step)


def noises(toy: Toy) -> dict[str, Tensor]:
    other = torch.randn(len(toy.listed()), generator=seeded(31), dtype=torch.float64)
    model = toy.log_probabilities(toy.reference).detach()
    return {"the language model": model, "another": other.log_softmax(-1)}


@pytest.mark.parametrize("noise", ["the language model", "another"])
@pytest.mark.parametrize("name", TOYS)
def test_the_gradient_of_nce_is_that_of_its_expectation(name: str, noise: str) -> None:
    toy = TOYS[name]
    energy = learned(toy, 1.0)
    parameters = list(energy.module.parameters())
    given = noises(toy)[noise]
    found = torch.autograd.grad(expected_loss(toy, energy, BinaryNCE(), given), parameters)
    exact = torch.autograd.grad(binary(toy, energy, given), parameters)
    for left, right in zip(found, exact, strict=True):
        torch.testing.assert_close(left, right, atol=1e-10, rtol=0)


@pytest.mark.parametrize("noise", ["the language model", "another"])
@pytest.mark.parametrize("name", TOYS)
def test_the_minimiser_of_nce_is_the_log_ratio_and_normalised(name: str, noise: str) -> None:
    toy = TOYS[name]
    energy = learned(toy)
    given = noises(toy)[noise]
    minimised(energy, lambda: expected_loss(toy, energy, BinaryNCE(), given))
    model = toy.log_probabilities(toy.reference).detach()
    ratio = model - data(toy)
    torch.testing.assert_close(energies(toy, energy).detach(), ratio, atol=1e-6, rtol=0)
    left = (model - energies(toy, energy)).logsumexp(-1).detach()
    assert float(left) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("name", TOYS)
def test_the_minimiser_of_the_ranking_form_is_the_log_ratio_up_to_a_constant(name: str) -> None:
    toy = TOYS[name]
    energy = learned(toy)
    model = toy.log_probabilities(toy.reference).detach()
    minimised(energy, lambda: expected_loss(toy, energy, RankingNCE(), model))
    energy.add_constant(0.7)
    gap = energies(toy, energy).detach() - (model - data(toy))
    torch.testing.assert_close(gap, gap[:1].expand_as(gap), atol=1e-5, rtol=0)
    # What is left of log Z is the constant, and calibration finds it.
    exact = float((model - energies(toy, energy)).logsumexp(-1).detach())
    assert exact == pytest.approx(-float(gap[0]), abs=1e-5)


@pytest.mark.parametrize("name", TOYS)
def test_calibration_finds_the_enumerated_partition_function(name: str) -> None:
    toy = TOYS[name]
    energy = learned(toy, 0.8)
    target = EnergyModel(toy.reference, energy)
    sampler = AutoregressiveSampler(toy.horizon, 8, anchors=GivenAnchors())
    batch = text_batch(toy.listed()[torch.zeros(400, dtype=torch.long)])
    found = calibrate(target, sampler, [batch.rows(0, 200), batch.rows(200, 400)], seeded(3))
    model = toy.log_probabilities(toy.reference)
    exact = float((model - energies(toy, energy)).logsumexp(-1).detach())
    assert found.contexts == found.sequences == 400
    # Five standard errors: a false alarm in a million.
    assert abs(found.log_partition - exact) < 5 * found.standard_error < 0.2
    # One context again and again: there is no spread but that of the estimates.
    assert found.spread < 0.2
    energy.add_constant(found.log_partition)
    again = float((model - energies(toy, energy)).logsumexp(-1).detach())
    assert abs(again) < 5 * found.standard_error


def likelihood_gradient(toy: Toy, energy: ResidualEnergy) -> list[Tensor]:
    values = energies(toy, energy)
    model = toy.log_probabilities(toy.reference).detach()
    loss = (data(toy).exp() * values).sum() + (model - values).logsumexp(-1)
    return list(torch.autograd.grad(loss, list(energy.module.parameters())))


def phase_gradient(toy: Toy, energy: ResidualEnergy, negatives: Tensor) -> list[Tensor]:
    """Of the loss itself, with negatives that have these probabilities (completion,)."""
    rollouts, index = contrasts(toy, 1)
    real, others = energy.contrast(rollouts)
    nothing = torch.zeros_like(real)
    losses = PhaseDifference()(Contrast(real, others, nothing, nothing.unsqueeze(-1))).losses
    weights = data(toy).exp()[index[:, 0]] * negatives[index[:, 1]]
    loss = (weights * losses[:, 0]).sum()
    return list(torch.autograd.grad(loss, list(energy.module.parameters())))


@pytest.mark.parametrize("name", TOYS)
def test_contrastive_divergence_of_stationary_chains_is_the_likelihoods_gradient(
    name: str,
) -> None:
    toy = TOYS[name]
    energy = learned(toy, 1.0)
    model = toy.log_probabilities(toy.reference).detach()
    stationary = (model - energies(toy, energy).detach()).softmax(-1)
    transition = kernel(toy, energy)
    torch.testing.assert_close(stationary @ transition, stationary, atol=1e-12, rtol=0)
    exact = likelihood_gradient(toy, energy)
    long = data(toy).exp() @ torch.linalg.matrix_power(transition, 2000)
    for negatives in (stationary, long):
        found = phase_gradient(toy, energy, negatives)
        for left, right in zip(found, exact, strict=True):
            torch.testing.assert_close(left, right, atol=1e-10, rtol=0)
    # One step from the data is something else, but not its opposite.
    one = phase_gradient(toy, energy, data(toy).exp() @ transition)
    assert sum(float((a * b).sum()) for a, b in zip(one, exact, strict=True)) > 0


def test_the_gradient_is_in_the_energy_alone() -> None:
    toy = TOYS["plain"]
    model, energy = toy.model, learned(toy, 1.0)
    sampler = BlockParallelSampler(GivenAnchors(), toy.horizon, 3)
    objective = EnergyObjective(Noise(sampler), energy, BinaryNCE())
    objective.loss(model, text_batch(toy.listed()), generator=seeded(0)).loss.backward()
    assert model.logits.grad is None
    assert all(parameter.grad is not None for parameter in energy.module.parameters())
    assert objective.trained(model) is energy.module
