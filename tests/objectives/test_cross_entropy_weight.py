"""A weight of cross-entropy that is chosen by lengths of gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ebmlm.energies import Energy, FeatureMatchingEnergy
from ebmlm.errors import UserError
from ebmlm.estimators import RLOO
from ebmlm.features import HiddenStateFeatures
from ebmlm.objectives import GradientShare, ItemCounts, PolicyObjective
from ebmlm.rollouts import SequenceBatch
from ebmlm.samplers import BlockParallelSampler, StridedAnchors
from ebmlm.state import gather_state, restore_state
from ebmlm.testing import TabularLanguageModel

TEXT = SequenceBatch.of(torch.randint(4, (4, 14), generator=torch.Generator().manual_seed(0)))


def table() -> TabularLanguageModel:
    return TabularLanguageModel(4, 2, hidden=6, generator=torch.Generator().manual_seed(1))


def objective(weight: GradientShare | float, scale: float = 1.0) -> PolicyObjective:
    energy: Energy = FeatureMatchingEnergy(HiddenStateFeatures(table().frozen()))
    sampler = BlockParallelSampler(StridedAnchors(3, 2), 3, 3)
    return PolicyObjective(sampler, scale * energy, RLOO(), cross_entropy=weight)


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(2)


def lengths(scale: float = 1.0) -> tuple[float, float]:
    """Of both losses' gradients with respect to the log-probabilities they are made of."""
    model, made = table(), objective(1.0, scale)
    rollouts = made.sampler.sample(model, TEXT, generator=seeded())
    scoring = model.score(rollouts, sequences=True)
    assert scoring.sequences is not None
    terms = made.energy(rollouts, made._scores(rollouts, scoring.completions.detach()))
    matching = made.estimator(scoring.completions, terms, rollouts).loss
    likelihood = -scoring.sequences.sum() / TEXT.target_mask().sum()
    slopes: list[Tensor] = [
        torch.autograd.grad(loss, inputs, retain_graph=True)[0]
        for loss, inputs in ((matching, scoring.completions), (likelihood, scoring.sequences))
    ]
    return float(slopes[0].norm()), float(slopes[1].norm())


def weight_of(made: PolicyObjective) -> float:
    metrics = made.loss(table(), TEXT, generator=seeded()).metrics
    return float(metrics["cross_entropy_weight"])


@pytest.mark.parametrize("share", [0.1, 0.5, 0.8])
def test_cross_entropy_has_its_share_from_the_second_step_on(share: float) -> None:
    made = objective(GradientShare(share, decay=0.0, first=0.07))
    assert weight_of(made) == pytest.approx(0.07)
    made.end_step()
    gamma = weight_of(made)
    energy, cross_entropy = lengths()
    assert gamma * cross_entropy / (energy + gamma * cross_entropy) == pytest.approx(share)


def test_the_scale_of_the_energy_does_not_matter() -> None:
    gammas = []
    for scale in (1.0, 50.0):
        made = objective(GradientShare(), scale)
        weight_of(made)
        made.end_step()
        gammas.append(weight_of(made))
    assert gammas[1] == pytest.approx(50 * gammas[0])


def test_pieces_of_a_step_have_one_weight_and_add_up() -> None:
    whole, cut = objective(GradientShare()), objective(GradientShare())
    for _ in range(2):
        expected = whole.loss(table(), TEXT, generator=seeded())
        counts = cut.counts(TEXT)
        pieces = [
            cut.loss(table(), TEXT.rows(at, at + 2), counts=counts, generator=seeded())
            for at in (0, 2)
        ]
        assert float(sum(p.loss.detach() for p in pieces)) == pytest.approx(float(expected.loss))
        for name, value in expected.metrics.items():
            assert float(sum(p.metrics[name] for p in pieces)) == pytest.approx(float(value))
        whole.end_step()
        cut.end_step()
    assert isinstance(counts, ItemCounts)


def test_processes_add_up() -> None:
    alone, one, other = (GradientShare(decay=0.0) for _ in range(3))
    x = torch.ones(3, requires_grad=True)
    for part, factor in ((alone, 2.0**0.5), (one, 1.0), (other, 1.0)):
        part((factor * x).sum(), x, (2 * x).sum(), x)
    alone.end_step(lambda tensor: [tensor])
    steps = [one._step.clone(), other._step.clone()]
    one.end_step(lambda tensor: steps)
    state = one.state()["squares"]
    assert state.tolist() == pytest.approx([6.0, 24.0])
    assert alone.state()["squares"].tolist() == pytest.approx([6.0, 12.0])


def test_it_is_remembered() -> None:
    made, resumed = objective(GradientShare(0.3)), objective(GradientShare(0.3))
    assert gather_state(made) == {}
    weight_of(made)
    made.end_step()
    restore_state(resumed, gather_state(made))
    assert weight_of(resumed) == weight_of(made) != 0.03


def test_the_gradient_is_of_the_weighted_sum() -> None:
    made = objective(GradientShare())
    weight_of(made)
    made.end_step()
    gamma = weight_of(made)
    gradients = []
    for each in (made, objective(gamma)):
        model = table()
        each.loss(model, TEXT, generator=seeded()).loss.backward()
        gradients.append([parameter.grad for parameter in model.module.parameters()])
    for own, fixed in zip(*gradients, strict=True):
        assert own is not None
        assert torch.allclose(own, fixed, rtol=1e-12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"share": 0.0}, "share is 0.0"),
        ({"share": 1.0}, "share is 1.0"),
        ({"decay": 1.0}, "decay is 1.0"),
        ({"first": -1.0}, "first is -1.0"),
    ],
)
def test_numbers_are_checked(options: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        GradientShare(**options)
