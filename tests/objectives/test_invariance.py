"""What the loss and its gradient do not depend on: padding, the cut of a batch, invalid anchors."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from ebmlm.distribution import Categorical
from ebmlm.energies import FunctionEnergy
from ebmlm.estimators import RLOO, GroupNorm
from ebmlm.features import MeanToken, NoWhitening
from ebmlm.objectives import ItemCounts, Objective, PolicyObjective, recipes
from ebmlm.rollouts import Rollouts, SequenceBatch
from ebmlm.samplers import BlockParallelSampler, StridedAnchors
from ebmlm.transformers_model import TransformersLanguageModel
from tests.helpers import (
    VOCABULARY,
    gradients,
    largest_difference,
    packed_batch,
    padded,
    pair,
    seeded,
)

ENDS = tuple(range(0, VOCABULARY, 9))
SHAPE: dict[str, Any] = {"horizon": 4, "stride": 4, "context": 3, "samples": 3}


def _ebft(model: TransformersLanguageModel) -> Objective:
    return recipes.ebft(model, **SHAPE, cross_entropy=0.3)


def _ebft_with_kl(model: TransformersLanguageModel) -> Objective:
    return recipes.ebft(
        model,
        **SHAPE,
        distribution=Categorical(0.6, top_p=0.9),
        pooling=MeanToken(),
        whitening=NoWhitening(),
        kl=0.1,
        cross_entropy=0.03,
        estimator=RLOO(),
    )


def _unbiased(model: TransformersLanguageModel) -> Objective:
    return recipes.ebft_unbiased(model, **SHAPE, temperature=0.8, cross_entropy=0.1)


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


def _assert_same(left: tuple[Any, ...], right: tuple[Any, ...]) -> None:
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
