"""The laws of an objective.

Each takes a recipe, a function of the policy that returns an
:class:`~ebmlm.objectives.base.Objective`, and raises where the objective breaks the law, with a
smallest counterexample (docs/testing.md, "Laws").
"""

from __future__ import annotations

import dataclasses

import torch
from hypothesis import strategies as st
from torch.nn.functional import pad

from ebmlm.objectives.base import ItemCounts
from ebmlm.rollouts import SequenceBatch
from ebmlm.testing.laws.cases import noise
from ebmlm.testing.laws.composition import expected_gradient_descends
from ebmlm.testing.laws.policies import Loss, Recipe, Trained
from ebmlm.testing.laws.proof import EXAMPLES, Draw, for_all, require, require_equal

__all__ = [
    "OBJECTIVE_LAWS",
    "counts_are_what_means_are_over",
    "gradients_of_pieces_add_up",
    "loss_is_finite_and_differentiable",
    "padding_moves_no_loss",
    "same_generator_same_loss",
]


def gradients_of_pieces_add_up(recipe: Recipe, examples: int = EXAMPLES) -> None:
    """Losses, metrics and gradients of micro-batches, given the whole's counts, add up to it."""
    trained = Trained.of(recipe)

    def holds(draw: Draw) -> None:
        case = draw(trained.situations(), "case")
        whole = case.loss(trained, [case.batch])
        rows = len(case.batch)
        single = [case.batch.rows(row, row + 1) for row in range(rows)]
        _require_same(case.loss(trained, single), whole, "of sequences one by one")

    for_all(holds, examples)


def padding_moves_no_loss(recipe: Recipe, examples: int = EXAMPLES) -> None:
    """Padding, its side and amount, what stands there, and rows of nothing else change nothing."""
    trained = Trained.of(recipe)

    def holds(draw: Draw) -> None:
        case = draw(trained.situations(), "case")
        before = draw(st.integers(0, 2), "more padding before")
        expected = case.loss(trained, [case.batch])
        wide = _widened(case.batch, before, 2)
        _require_same(case.loss(trained, [wide]), expected, "with other padding")
        filled = wide.map(lambda tensor: torch.cat([tensor, tensor[:1]]))
        mask = filled.sequence_mask.clone()
        mask[-1] = False
        valid = filled.anchor_mask
        if valid is not None:
            valid = valid.clone()
            valid[-1] = False
        filled = dataclasses.replace(filled, sequence_mask=mask, anchor_mask=valid)
        _require_same(case.loss(trained, [filled]), expected, "with a row of padding")

    for_all(holds, examples)


def same_generator_same_loss(recipe: Recipe, examples: int = EXAMPLES) -> None:
    """The same generator state gives the same loss, metrics and gradient."""
    trained = Trained.of(recipe)

    def holds(draw: Draw) -> None:
        case = draw(trained.situations(), "case")
        again = [case.loss(trained, [case.batch]) for _ in range(2)]
        _require_same(again[1], again[0], "computed again")

    for_all(holds, examples)


def loss_is_finite_and_differentiable(recipe: Recipe, examples: int = EXAMPLES) -> None:
    """Loss, metrics and gradient are finite, even where a batch has no valid anchor."""
    trained = Trained.of(recipe)

    def holds(draw: Draw) -> None:
        case = draw(trained.situations(), "case")
        hidden = draw(st.booleans(), "all of it padding")
        batch = case.batch
        if hidden:
            mask = torch.zeros_like(batch.sequence_mask)
            valid = None if batch.anchor_mask is None else torch.zeros_like(batch.anchor_mask)
            batch = dataclasses.replace(batch, sequence_mask=mask, anchor_mask=valid)
        loss, metrics, gradient = case.loss(trained, [batch])
        for name, value in {"loss": loss, "gradient": gradient, **metrics}.items():
            require(bool(value.isfinite().all()), f"{name} is not finite")
        nothing = torch.zeros_like(gradient)
        if hidden:
            require_equal(gradient, nothing, "gradient of nothing but padding", 0.0)

    for_all(holds, examples)


def counts_are_what_means_are_over(recipe: Recipe, examples: int = EXAMPLES) -> None:
    """Counts add up over sequences, and are the counts that a loss without counts takes."""
    trained = Trained.of(recipe)

    def holds(draw: Draw) -> None:
        case = draw(trained.situations(), "case")
        whole = trained.objective.counts(case.batch)
        total = ItemCounts(0, 0)
        for row in range(len(case.batch)):
            total = total + trained.objective.counts(case.batch.rows(row, row + 1))
        require(total == whole, f"counts of single sequences add up to {total}, not to {whole}")
        expected = trained.objective.loss(trained.model, case.batch, generator=case.generator())
        found = case.loss(trained, [case.batch])[0]
        require_equal(found, expected.loss, "loss given its own counts, against none given")

    for_all(holds, examples)


OBJECTIVE_LAWS = (
    expected_gradient_descends,
    gradients_of_pieces_add_up,
    padding_moves_no_loss,
    same_generator_same_loss,
    loss_is_finite_and_differentiable,
    counts_are_what_means_are_over,
)
"""Every law of an objective."""


def _widened(batch: SequenceBatch, before: int, after: int) -> SequenceBatch:
    """The same text with more padding and other tokens at it."""
    other, real = noise(5), batch.sequence_mask
    sides = (before, after)
    return dataclasses.replace(
        batch,
        sequences=pad(torch.where(real, batch.sequences, other(batch.sequences)), sides, value=1),
        documents=pad(torch.where(real, batch.documents, other(batch.documents)), sides, value=1),
        sequence_mask=pad(real, sides, value=False),
        anchors=None if batch.anchors is None else batch.anchors + before,
    )


def _require_same(found: Loss, expected: Loss, when: str) -> None:
    require_equal(found[0], expected[0], f"loss {when}")
    require_equal(found[2], expected[2], f"gradient {when}")
    names = (set(found[1]), set(expected[1]))
    require(names[0] == names[1], f"metrics {when} are {names[0]} instead of {names[1]}")
    for name, value in expected[1].items():
        require_equal(found[1][name], value, f"{name} {when}")
