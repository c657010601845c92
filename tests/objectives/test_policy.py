"""Policy objectives: what is composed, and what the loss does not depend on."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

from ebmlm.distribution import Categorical, Greedy
from ebmlm.energies import FeatureMatchingEnergy, FunctionEnergy, KLEnergy
from ebmlm.errors import UserError
from ebmlm.estimators import RLOO, GroupNorm, Reinforce, sequence_log_prob
from ebmlm.features import HiddenStateFeatures, MeanToken, NoWhitening
from ebmlm.objectives import CrossEntropy, ItemCounts, Objective, PolicyObjective, recipes
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
    padded,
    pair,
    seeded,
)

ENDS = tuple(range(0, VOCABULARY, 9))
SHAPE = {"horizon": 4, "stride": 4, "context": 3, "samples": 3}


def _ebft(model: TransformersLanguageModel) -> Objective:
    return recipes.ebft(model, **SHAPE, cross_entropy=0.3)  # type: ignore[arg-type]


def _ebft_with_kl(model: TransformersLanguageModel) -> Objective:
    return recipes.ebft(
        model,
        **SHAPE,  # type: ignore[arg-type]
        distribution=Categorical(0.6, top_p=0.9),
        pooling=MeanToken(),
        whitening=NoWhitening(),
        kl=0.1,
        cross_entropy=0.03,
        estimator=RLOO(),
    )


def _unbiased(model: TransformersLanguageModel) -> Objective:
    return recipes.ebft_unbiased(model, **SHAPE, temperature=0.8, cross_entropy=0.1)  # type: ignore[arg-type]


def _group_norm(model: TransformersLanguageModel) -> Objective:
    def odd(rollouts: Rollouts) -> Tensor:
        return (rollouts.completions % 2 * rollouts.token_mask()).sum(-1).float()

    sampler = BlockParallelSampler(StridedAnchors(4, 3), 4, 3)
    return PolicyObjective(sampler, FunctionEnergy(odd), GroupNorm())


RECIPES = {
    "ebft": _ebft,
    "ebft with kl": _ebft_with_kl,
    "unbiased": _unbiased,
    "group norm": _group_norm,
    "sft": recipes.sft,
}


def _pieces(
    objective: Objective, model: TransformersLanguageModel, batches: list[SequenceBatch]
) -> tuple[float, Mapping[str, float], dict[str, Tensor]]:
    """Loss, metrics and gradient of a batch in pieces, each given the counts of the whole."""
    counts = ItemCounts(0, 0)
    for batch in batches:
        counts = counts + objective.counts(batch)
    metrics: dict[str, float] = {}
    losses = []

    def loss() -> Tensor:
        total = torch.zeros(())
        for batch in batches:
            estimate = objective.loss(model, batch, counts=counts, generator=seeded(5))
            total = total + estimate.loss
            losses.append(estimate.loss.item())
            for name, value in estimate.metrics.items():
                metrics[name] = metrics.get(name, 0.0) + float(value)
        return total

    found = gradients(model.model, loss)
    return sum(losses), metrics, found


def _assert_same(left: tuple, right: tuple) -> None:  # type: ignore[type-arg]
    assert left[0] == pytest.approx(right[0], abs=1e-7)
    assert left[1] == pytest.approx(right[1], abs=1e-6)
    assert largest_difference(left[2], right[2]) < 1e-6
    assert max(float(gradient.abs().max()) for gradient in left[2].values()) > 1e-2


@pytest.mark.parametrize("name", RECIPES)
def test_a_batch_may_be_cut_into_pieces(name: str) -> None:
    model, _ = pair(end_tokens=ENDS)
    objective = RECIPES[name](model)
    batch = packed_batch()
    whole = _pieces(objective, model, [batch])
    for cut in ([0, 2, 4], [0, 1, 2, 3, 4], [0, 3, 4]):
        parts = [batch.rows(start, stop) for start, stop in itertools.pairwise(cut)]
        _assert_same(_pieces(objective, model, parts), whole)


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize(("before", "after"), [(4, 0), (0, 5), (3, 2)])
def test_padding_changes_nothing(name: str, before: int, after: int) -> None:
    model, _ = pair(end_tokens=ENDS)
    objective = RECIPES[name](model)
    batch = packed_batch()
    whole = _pieces(objective, model, [batch])
    wide = padded(batch, before, after, fill=3)
    _assert_same(_pieces(objective, model, [wide]), whole)
    # A piece may be padded otherwise than another.
    _assert_same(_pieces(objective, model, [wide.rows(0, 1), batch.rows(1, 4)]), whole)


@pytest.mark.parametrize("name", RECIPES)
def test_what_stands_at_padding_changes_nothing(name: str) -> None:
    model, _ = pair(end_tokens=ENDS)
    objective = RECIPES[name](model)
    batch = packed_batch()
    garbage = torch.randint(VOCABULARY, batch.sequences.shape, generator=seeded(8))
    real = batch.sequence_mask
    changed = dataclasses.replace(
        batch,
        sequences=torch.where(real, batch.sequences, garbage),
        documents=torch.where(real, batch.documents, garbage),
    )
    _assert_same(_pieces(objective, model, [changed]), _pieces(objective, model, [batch]))


@pytest.mark.parametrize("name", RECIPES)
def test_a_row_of_nothing_but_padding_changes_nothing(name: str) -> None:
    """As where data-parallel processes are given batches of the same size."""
    model, _ = pair(end_tokens=ENDS)
    objective = RECIPES[name](model)
    batch = packed_batch()
    filled = batch.map(lambda tensor: torch.cat([tensor, tensor[:1]]))
    filled = dataclasses.replace(filled, sequence_mask=filled.sequence_mask.clone())
    filled.sequence_mask[-1] = False
    whole = _pieces(objective, model, [batch])
    _assert_same(_pieces(objective, model, [filled]), whole)
    _assert_same(_pieces(objective, model, [filled.rows(4, 5), batch]), whole)


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
        objective = recipes.ebft(model, **SHAPE, cross_entropy=gamma)  # type: ignore[arg-type]
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


def test_any_number_of_steps_changes_the_policy_and_not_the_feature_network() -> None:
    model, _ = pair()
    objective = recipes.ebft(model, **SHAPE, kl=0.1)  # type: ignore[arg-type]
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
