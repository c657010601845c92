"""Tuning towards a target by the names that configurations use."""

from __future__ import annotations

from functools import partial
from typing import Any, cast

import pytest
import torch

from ebmlm import recipes as names
from ebmlm.divergences import ForwardKL, TotalVariation
from ebmlm.energies import ConstraintEnergy, Energy, LengthEnergy, LinearEnergy, VerifierEnergy
from ebmlm.energies.base import ScaledEnergy, SumEnergy
from ebmlm.errors import UserError
from ebmlm.objectives import energy_recipes, feature_recipes, target_recipes
from ebmlm.rollouts import Rollouts, Scores, SequenceBatch
from ebmlm.samplers import BlockParallelSampler, StridedAnchors
from ebmlm.targets import DivergenceEnergy, EnergyModel, GroupPartition, LeaveOneOutPartition
from ebmlm.testing import TabularLanguageModel
from ebmlm.testing.tiny import tiny_transformer
from ebmlm.texts import Texts
from ebmlm.verifiers import FunctionVerifier
from tests.helpers import seeded


class _Digits:
    def decode(self, tokens: list[int], **options: Any) -> str:
        return "".join(map(str, tokens))


MODEL = TabularLanguageModel(3, 2, generator=seeded(0))
TEXTS = Texts(cast(Any, _Digits()), {})
ONES = FunctionVerifier(lambda prompt, completion, row: float("1" in completion))
BATCH = SequenceBatch.of(torch.randint(3, (4, 12), generator=seeded(1)))
SCORES = partial(feature_recipes.verifier_scores, verifiers=[ONES])
LINEAR = partial(energy_recipes.linear, features=SCORES, coefficients=[1.5])


def _drawn() -> Rollouts:
    sampler = BlockParallelSampler(StridedAnchors(4, 2), 3, 5)
    return sampler.sample(MODEL, BATCH, generator=seeded(2))


def _unary(energy: Energy) -> torch.Tensor:
    rollouts = _drawn()
    return energy(rollouts, Scores(rollouts.log_probs)).unary


def test_each_makes_its_energy() -> None:
    has = (_drawn().completions == 1).any(-1).double()
    linear, verified = LINEAR(MODEL, TEXTS), energy_recipes.verified(MODEL, TEXTS, verifier=ONES)
    bound = energy_recipes.constraint(MODEL, TEXTS, verifier=ONES)
    assert (type(linear), type(bound)) == (LinearEnergy, ConstraintEnergy)
    assert isinstance(verified, ScaledEnergy) and isinstance(verified.energy, VerifierEnergy)
    torch.testing.assert_close(_unary(linear).double(), -1.5 * has)
    torch.testing.assert_close(_unary(verified).double(), -has)
    assert ((_unary(bound) == torch.inf) == (has == 0)).all()
    both = energy_recipes.product(MODEL, TEXTS, parts=[LINEAR, LINEAR])
    assert isinstance(both, SumEnergy)
    torch.testing.assert_close(_unary(both).double(), -3 * has)


def test_an_expert_has_the_policys_vocabulary(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = tiny_transformer()
    monkeypatch.setattr("ebmlm.load", lambda name: (tiny_transformer(), None))
    energy = energy_recipes.expert(policy, name="another", weight=-0.5)
    assert isinstance(energy, ScaledEnergy) and energy.factor == -0.5
    with pytest.raises(UserError, match="one vocabulary"):
        energy_recipes.expert(TabularLanguageModel(7, 2), name="another")


def test_every_recipe_has_a_name_for_configurations() -> None:
    described = {(getattr(names, name).__doc__ or "").splitlines()[0] for name in names.__all__}
    for module in (energy_recipes, target_recipes):
        for name in set(module.__all__) - {"EnergyRecipe"}:
            first = (getattr(module, name).__doc__ or "").splitlines()[0]
            assert first in described, name


def test_dpg_tunes_towards_the_policy_as_it_was() -> None:
    objective = target_recipes.dpg(MODEL, TEXTS, energy=LINEAR, temperature=0.5)
    assert isinstance(objective.energy, DivergenceEnergy)
    target = objective.energy.target
    assert isinstance(target, EnergyModel) and target.temperature == 0.5
    assert isinstance(objective.energy.divergence, ForwardKL)
    assert isinstance(objective.energy.partition, GroupPartition)
    rollouts = _drawn()
    density = target.log_density(rollouts)
    has = (rollouts.completions == 1).any(-1).double()
    expected = MODEL.score(rollouts).completions.sum(-1).detach() + 1.5 * has / 0.5
    torch.testing.assert_close(density, expected)


def test_dpg_meets_its_target_on_a_table() -> None:
    """Trained to the end with another divergence too: the share that the target has."""
    for divergence in (ForwardKL(), TotalVariation()):
        model = TabularLanguageModel(3, 2, generator=seeded(0))
        objective = target_recipes.dpg(
            model,
            TEXTS,
            energy=LINEAR,
            divergence=divergence,
            partition=LeaveOneOutPartition(),
            anchors=StridedAnchors(4, 2),
            horizon=1,
            samples=64,
        )
        frozen = model.frozen()
        optimiser = torch.optim.Adam([model.logits], lr=0.05)
        generator = seeded(5)
        for _ in range(150):
            optimiser.zero_grad()
            objective.loss(model, BATCH, generator=generator).loss.backward()
            optimiser.step()
        last = BATCH.sequences[0, :2]
        rows = SequenceBatch.of(torch.cat([last, torch.zeros(2, dtype=torch.long)])[None])
        drawn = Rollouts.given(
            rows,
            torch.tensor([[2]]),
            torch.tensor([[True]]),
            torch.arange(3).view(1, 1, 3, 1),
            objective.sampler.distribution,
        )
        base = frozen.score(drawn).completions[0, 0, :, 0]
        wanted = (base + torch.tensor([0.0, 1.5, 0.0])).softmax(0)
        found = model.score(drawn).completions[0, 0, :, 0].exp()
        torch.testing.assert_close(found, wanted.to(found), atol=0.12, rtol=0)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(UserError, match="samples is 1"):
        target_recipes.dpg(MODEL, TEXTS, energy=LINEAR, samples=1)
    two = partial(energy_recipes.linear, features=SCORES, coefficients=[1.0, 2.0])
    with pytest.raises(UserError, match="coefficients for 1 features"):
        target_recipes.dpg(MODEL, TEXTS, energy=two)
    with pytest.raises(UserError, match="temperature is 0"):
        target_recipes.dpg(MODEL, TEXTS, energy=lambda model, texts: LengthEnergy(), temperature=0)
