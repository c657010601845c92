"""Policy objectives: what is composed, and what comes of it."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from ebmlm.distribution import Greedy
from ebmlm.energies import EnergyTerms, FeatureMatchingEnergy, FunctionEnergy, KLEnergy
from ebmlm.errors import UserError
from ebmlm.estimators import RLOO, GroupNorm, Reinforce, sequence_log_prob
from ebmlm.features import HiddenStateFeatures
from ebmlm.objectives import CrossEntropy, ItemCounts, PolicyObjective, recipes
from ebmlm.rollouts import Rollouts, Scores, SequenceBatch
from ebmlm.samplers import BlockParallelSampler, GivenAnchors, StridedAnchors
from ebmlm.testing import TabularLanguageModel
from ebmlm.transformers_model import TransformersLanguageModel
from tests.helpers import (
    VOCABULARY,
    gradients,
    largest_difference,
    one_branch_at_a_time,
    one_document_at_a_time,
    packed_batch,
    pair,
    seeded,
)

ENDS = tuple(range(0, VOCABULARY, 9))
SHAPE: dict[str, Any] = {"horizon": 4, "stride": 4, "context": 3, "samples": 3}


def test_the_loss_is_the_mean_over_anchors_and_tokens() -> None:
    """Of the pieces, written out: surrogate from one-branch scores, plus gamma times the text's."""
    model, raw = pair(end_tokens=ENDS)
    batch = packed_batch()
    features = HiddenStateFeatures(model.frozen())
    sampler = BlockParallelSampler(StridedAnchors(4, 3), 4, 3)
    energy = FeatureMatchingEnergy(features, 1.0, 0.5)
    objective = PolicyObjective(sampler, energy, RLOO(), cross_entropy=0.25)
    estimate = objective.loss(model, batch, generator=seeded(2))

    rollouts = sampler.sample(model, batch, generator=seeded(2))
    scored = one_branch_at_a_time(raw, rollouts)
    terms = energy(rollouts, Scores(scored))
    surrogate, rewards, lengths = 0.0, 0.0, 0.0
    anchors = rollouts.anchor_mask.nonzero().tolist()
    for row, place in anchors:
        energies = terms.per_sample()[row, place]
        rewards -= float(energies.mean())
        lengths += float(rollouts.completion_mask[row, place].sum()) / 3
        for j in range(3):
            baseline = 0.0
            assert terms.pairwise is not None
            for i in range(3):
                if i != j:
                    k = 3 - i - j
                    pair_term = float(terms.pairwise[row, place, i, k])
                    baseline += (float(terms.unary[row, place, i]) + pair_term) / 2
            surrogate += (float(energies[j]) - baseline) * float(scored[row, place, j].sum()) / 3
    text = one_document_at_a_time(raw, batch)
    likelihood = -float(text.sum()) / int(batch.target_mask().sum())
    assert estimate.loss.item() == pytest.approx(
        surrogate / len(anchors) + 0.25 * likelihood, abs=1e-5
    )
    metrics = {name: float(value) for name, value in estimate.metrics.items()}
    assert metrics["cross_entropy"] == pytest.approx(likelihood, abs=1e-5)
    assert metrics["reward"] == pytest.approx(rewards / len(anchors), abs=1e-5)
    assert metrics["rollout_length"] == pytest.approx(lengths / len(anchors), abs=1e-5)
    assert set(metrics) == {
        "alignment",
        "diversity",
        "advantage_square",
        "cross_entropy",
        "reward",
        "rollout_length",
    }
    counts = objective.counts(batch)
    assert counts == ItemCounts(len(anchors), int(batch.target_mask().sum()))
    assert counts + ItemCounts(1, 2) == ItemCounts(len(anchors) + 1, counts.tokens + 2)


def test_without_a_valid_anchor_the_text_alone_counts() -> None:
    model, _ = pair()
    batch = SequenceBatch.of(
        torch.randint(VOCABULARY, (1, 12), generator=seeded(0)),
        documents=torch.arange(12)[None] // 2,
    )
    for gamma in (0.0, 0.5):
        objective = recipes.ebft(model, **SHAPE, cross_entropy=gamma)
        assert objective.counts(batch).anchors == 0
        estimate = objective.loss(model, batch)
        found = gradients(model.model, lambda: estimate.loss)  # noqa: B023 (called at once)
        assert len(found) == len(list(model.model.parameters()))
        biggest = max(float(gradient.abs().max()) for gradient in found.values())
        if gamma:
            sft = gradients(model.model, lambda: 0.5 * CrossEntropy().loss(model, batch).loss)
            assert largest_difference(found, sft) < 1e-9
        else:
            assert estimate.loss == 0
            assert biggest == 0


def test_the_reference_is_scored_only_where_it_is_needed() -> None:
    model, _ = pair()
    frozen = model.frozen()
    calls = 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1

    frozen.model.register_forward_pre_hook(count)
    frozen.model.model.register_forward_pre_hook(count)
    sampler = BlockParallelSampler(StridedAnchors(4, 3), 4, 2)
    batch = packed_batch()
    plain = FunctionEnergy(lambda rollouts: rollouts.completions.sum(-1).float())
    PolicyObjective(sampler, plain, RLOO(), reference=frozen).loss(model, batch)
    assert calls == 0
    objective = PolicyObjective(sampler, plain + KLEnergy(), RLOO(), reference=frozen)
    estimate = objective.loss(model, batch)
    assert calls > 0
    # The policy is its own reference still.
    assert float(estimate.metrics["kl"]) == pytest.approx(0, abs=1e-9)


class _SeesNoGradient(KLEnergy):
    """Fails where a score has a gradient, even one of a reference that could be trained."""

    def __call__(self, rollouts: Rollouts, scores: Scores) -> EnergyTerms:
        assert scores.reference is not None
        assert not scores.policy.requires_grad
        assert not scores.reference.requires_grad
        return super().__call__(rollouts, scores)


def test_energies_see_scores_without_gradient() -> None:
    model, _ = pair()
    sampler = BlockParallelSampler(StridedAnchors(4, 3), 4, 2)
    objective = PolicyObjective(sampler, _SeesNoGradient(), RLOO(), reference=model)
    assert objective.loss(model, packed_batch()).loss.requires_grad


def test_any_number_of_steps_changes_the_policy_and_not_the_feature_network() -> None:
    model, _ = pair()
    objective = recipes.ebft(model, **SHAPE, kl=0.1)
    assert isinstance(objective.reference, TransformersLanguageModel)
    before = [parameter.clone() for parameter in objective.reference.model.parameters()]
    optimiser = torch.optim.AdamW(model.model.parameters(), lr=1e-3)
    for step in range(2):
        optimiser.zero_grad()
        objective.loss(model, packed_batch(), generator=seeded(step)).loss.backward()
        optimiser.step()
    after = list(objective.reference.model.parameters())
    assert all(torch.equal(old, new) for old, new in zip(before, after, strict=True))
    kl = objective.loss(model, packed_batch(), generator=seeded(9)).metrics["kl"]
    assert float(kl) > 1e-6


def test_on_the_table_and_on_prompts_it_is_the_same_code() -> None:
    model = TabularLanguageModel(4, 3, end_tokens=[1], generator=seeded(0))
    text = packed_batch(vocabulary=4)
    features = HiddenStateFeatures(model.frozen())
    for anchors in (StridedAnchors(4, 3), GivenAnchors()):
        batch = dataclasses.replace(
            text,
            anchors=torch.tensor([[5, 9]] * 4),
            anchor_mask=torch.tensor([[True, False]] * 4),
        )
        objective = PolicyObjective(
            BlockParallelSampler(anchors, 4, 2),
            FeatureMatchingEnergy(features),
            RLOO(),
            cross_entropy=0.1,
        )
        objective.loss(model, batch, generator=seeded(0)).loss.backward()
        assert model.logits.grad is not None
        assert model.logits.grad.abs().max() > 0
        model.logits.grad = None


def _energy() -> FunctionEnergy:
    return FunctionEnergy(lambda rollouts: rollouts.completions.sum(-1).float())


def test_parts_that_do_not_fit_are_refused() -> None:
    sampler = BlockParallelSampler(samples=1)
    with pytest.raises(
        UserError, match="KLEnergy needs a reference model and the objective has none"
    ):
        PolicyObjective(sampler, KLEnergy(), Reinforce())
    with pytest.raises(UserError, match="SumEnergy needs a reference"):
        PolicyObjective(sampler, _energy() + 0.1 * KLEnergy(), Reinforce())
    for estimator in (RLOO(), GroupNorm()):
        with pytest.raises(UserError, match=r"1 sample per anchor: .* needs at least 2"):
            PolicyObjective(sampler, _energy(), estimator)
    with pytest.raises(UserError, match="greedy sampler has no policy gradient"):
        PolicyObjective(BlockParallelSampler(distribution=Greedy()), _energy(), RLOO())
    for weight in (-0.1, float("nan"), float("inf")):
        with pytest.raises(UserError, match=f"cross_entropy is {weight}"):
            PolicyObjective(sampler, _energy(), Reinforce(), cross_entropy=weight)
    PolicyObjective(sampler, _energy(), Reinforce(credit=sequence_log_prob))


def test_one_sample_cannot_be_compared_with_others() -> None:
    policy = TabularLanguageModel(3, 2)
    sampler = BlockParallelSampler(samples=1)
    features = HiddenStateFeatures(policy.frozen())
    with pytest.raises(UserError, match=r"1 sample per anchor: SumEnergy compares"):
        PolicyObjective(
            sampler, FeatureMatchingEnergy(features) + KLEnergy(), Reinforce(), reference=policy
        )
    PolicyObjective(sampler, 2 * FeatureMatchingEnergy(features, diversity=0), Reinforce())
