"""Feature maps made of feature maps."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from ebmlm.energies import FeatureMatchingEnergy
from ebmlm.errors import UserError
from ebmlm.features import Concatenated, Normalised, Scaled
from ebmlm.features.algebra import known_width
from ebmlm.rollouts import Scores
from tests.features.maps import Given, Undeclared, given, some_rollouts

ROLLOUTS = some_rollouts()


def test_inner_products_of_a_concatenation_are_the_weighted_sum() -> None:
    one, two = given(5), given(3, seed=7)
    made = Concatenated([one, two], [0.5, 3.0])(ROLLOUTS)
    assert made.blocks == (8,)
    gram = made.rollouts @ made.rollouts.mT
    first, second = one(ROLLOUTS).rollouts, two(ROLLOUTS).rollouts
    expected = 0.5 * first @ first.mT + 3 * second @ second.mT
    torch.testing.assert_close(gram, expected)


def test_energies_of_a_concatenation_are_the_weighted_sum_of_energies() -> None:
    one, two = given(5), given(3, seed=7)
    scores = Scores(ROLLOUTS.log_probs)
    energy = FeatureMatchingEnergy(0.5 * one | two)(ROLLOUTS, scores)
    parts = FeatureMatchingEnergy(one) * 0.25 + FeatureMatchingEnergy(two)
    expected = parts(ROLLOUTS, scores)
    torch.testing.assert_close(energy.unary, expected.unary)
    assert energy.pairwise is not None and expected.pairwise is not None
    torch.testing.assert_close(energy.pairwise, expected.pairwise)


def test_concatenations_are_flat_where_they_say_the_same() -> None:
    one, two, three = given(1), given(2), given(3)
    flat = Concatenated([Concatenated([one, two], [2.0, 3.0]), three], [0.5, 4.0])
    assert flat.parts == (one, two, three)
    assert flat.weights == (1.0, 1.5, 4.0)
    apart = Concatenated([Concatenated([one, two]), three], apart=True)
    assert len(apart.parts) == 2
    assert apart.blocks == (3, 3)
    assert (one | two | three).blocks == (6,)


def test_parts_that_stand_apart_are_matched_on_their_own_and_averaged() -> None:
    one, two = given(4, blocks=(1, 3)), given(3, seed=7)
    together = Concatenated([one, two], apart=True)
    assert together.blocks == (1, 3, 3) == together(ROLLOUTS).blocks
    scores = Scores(ROLLOUTS.log_probs)
    found = FeatureMatchingEnergy(together)(ROLLOUTS, scores).unary
    blocks = [Given(b.rollouts, b.references) for b in one(ROLLOUTS).split()]
    expected = [FeatureMatchingEnergy(b)(ROLLOUTS, scores).unary for b in (*blocks, two)]
    torch.testing.assert_close(found, torch.stack(expected).mean(0))


def test_scaling() -> None:
    made = (3 * given(4))(ROLLOUTS)
    torch.testing.assert_close(made.rollouts, 3 * given(4)(ROLLOUTS).rollouts)
    assert made.references is not None
    assert Scaled(given(4, blocks=(1, 3)), 2).blocks == (1, 3)


def test_normalised_vectors_have_length_one_or_zero() -> None:
    whole = Normalised(given(4, blocks=(1, 3)))(ROLLOUTS)
    valid = ROLLOUTS.anchor_mask
    torch.testing.assert_close(
        whole.rollouts.norm(dim=-1)[valid], torch.ones(5, 4, dtype=torch.float64)
    )
    assert not whole.rollouts[~valid].any()
    apart = Normalised(given(4, blocks=(1, 3)), apart=True)(ROLLOUTS)
    for block in apart.split():
        assert block.references is not None
        torch.testing.assert_close(
            block.references.norm(dim=-1)[valid], torch.ones(5, dtype=torch.float64)
        )


def test_parts_of_different_precision_are_as_wide_as_the_widest() -> None:
    rough = given(2)
    rough.features = dataclasses.replace(
        rough.features, rollouts=rough.features.rollouts.float(), references=None
    )
    fine = given(2)
    with pytest.raises(UserError, match="some of these feature maps have references"):
        (rough | fine)(ROLLOUTS)
    fine.features = dataclasses.replace(fine.features, references=None)
    made = (rough | fine)(ROLLOUTS)
    assert made.rollouts.dtype == torch.float64
    assert made.references is None


def test_what_does_not_fit_is_refused_when_it_is_put_together() -> None:
    with pytest.raises(UserError, match="no feature maps"):
        Concatenated([])
    with pytest.raises(UserError, match="3 weights for 2 feature maps"):
        Concatenated([given(1), given(2)], [1.0, 1.0, 1.0])
    for weight in (-1.0, math.nan, math.inf):
        with pytest.raises(UserError, match=f"weight {weight}"):
            Concatenated([given(1)], [weight])
    with pytest.raises(UserError, match="factor is nan"):
        Scaled(given(1), math.nan)
    unknown = Undeclared(torch.zeros(2, 3, 4, 5), None)
    with pytest.raises(UserError, match=r"width of Undeclared is not known.*a projection needs it"):
        known_width(unknown, "a projection")
    assert (unknown | given(2)).width is None
    assert (2 * unknown).width is None
