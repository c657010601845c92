"""Rollouts with duplicates, early ends and invalid anchors, and their log-probabilities."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ebmlm.distribution import Greedy
from ebmlm.rollouts import Rollouts, gather_continuations
from ebmlm.testing.strategies import (
    continuations,
    prompts,
    rollouts,
    single_texts,
    token_log_probs,
)
from tests.testing.strategies.occurring import occurring, share, smallest
from tests.testing.strategies.test_texts import assert_valid, assert_well_formed


@given(st.integers(1, 4), st.integers(1, 3), st.integers(0, 2), st.integers(1, 4), st.data())
def test_rollouts_keep_to_their_sizes(
    vocabulary: int, fewest: int, more: int, horizon: int, data: st.DataObject
) -> None:
    drawn = data.draw(rollouts(vocabulary, fewest, fewest + more, horizon))
    assert_well_formed(drawn.batch, vocabulary)
    assert_valid(drawn.batch, drawn.anchors, drawn.anchor_mask)
    assert fewest <= drawn.samples <= fewest + more
    assert 1 <= drawn.horizon <= horizon
    assert ((drawn.completions >= 0) & (drawn.completions < vocabulary)).all()


@given(rollouts())
def test_at_least_the_first_token_counts_and_none_after_the_end(drawn: Rollouts) -> None:
    mask = drawn.completion_mask
    assert mask[drawn.anchor_mask][..., 0].all()
    assert not mask[~drawn.anchor_mask].any()
    assert (mask[..., 1:] <= mask[..., :-1]).all()


@given(rollouts())
def test_references_are_the_text_and_nothing_was_drawn(drawn: Rollouts) -> None:
    text, mask = gather_continuations(drawn.batch, drawn.anchors, drawn.anchor_mask, drawn.horizon)
    assert torch.equal(drawn.references, text)
    assert torch.equal(drawn.reference_mask, mask)
    assert (drawn.log_probs == 0).all()


def at_valid(drawn: Rollouts) -> list[list[list[int]]]:
    """Of every valid anchor the tokens of each sample, up to its end."""
    pairs = zip(
        drawn.completions[drawn.anchor_mask], drawn.completion_mask[drawn.anchor_mask], strict=True
    )
    return [
        [tokens[alive].tolist() for tokens, alive in zip(group, mask, strict=True)]
        for group, mask in pairs
    ]


def distinct(group: list[list[int]]) -> int:
    return len({tuple(tokens) for tokens in group})


KINDS: dict[str, Callable[[Rollouts], object]] = {
    "a single sample": lambda drawn: drawn.samples == 1 and drawn.anchor_mask.any(),
    "duplicates": lambda drawn: any(distinct(group) < len(group) for group in at_valid(drawn)),
    "three alike": lambda drawn: any(
        distinct(group) == 1 and len(group) == 3 for group in at_valid(drawn)
    ),
    "three distinct": lambda drawn: any(distinct(group) == 3 for group in at_valid(drawn)),
    "early ends": lambda drawn: any(
        len(tokens) < drawn.horizon for group in at_valid(drawn) for tokens in group
    ),
    "ends at different places": lambda drawn: any(
        len({len(tokens) for tokens in group}) > 1 for group in at_valid(drawn)
    ),
    "tokens after the end": lambda drawn: (drawn.completions * ~drawn.completion_mask)[
        drawn.anchor_mask
    ].any(),
    "tokens at an invalid anchor": lambda drawn: drawn.completions[~drawn.anchor_mask].any(),
    "no valid anchor": lambda drawn: not drawn.anchor_mask.any(),
    "several valid anchors in a row": lambda drawn: (drawn.anchor_mask.sum(-1) > 1).any(),
    "what the text says": lambda drawn: any(
        text[alive].tolist() in group and alive.all()
        for text, alive, group in zip(
            drawn.references[drawn.anchor_mask],
            drawn.reference_mask[drawn.anchor_mask],
            at_valid(drawn),
            strict=True,
        )
    ),
    "no text to compare to": lambda drawn: (~drawn.reference_mask[drawn.anchor_mask]).all(-1).any(),
    "text that ends early": lambda drawn: (
        drawn.reference_mask.any(-1) & ~drawn.reference_mask.all(-1)
    ).any(),
    "cold": lambda drawn: drawn.distribution.temperature < 1,
    "hot": lambda drawn: drawn.distribution.temperature > 1,
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_rollouts_occurs(kind: str) -> None:
    occurring(rollouts(), KINDS[kind])


@given(rollouts(text=prompts(), distribution=st.just(Greedy()), max_samples=0))
def test_text_and_distribution_may_be_given(drawn: Rollouts) -> None:
    assert drawn.batch.anchors is not None
    assert drawn.distribution == Greedy()
    # The most is never under the least.
    assert drawn.samples == 1


@given(continuations(3, 4, 3))
def test_continuations_are_those_of_one_anchor(drawn: tuple[Tensor, Tensor]) -> None:
    tokens, mask = drawn
    assert tokens.shape == mask.shape == (4, 3)
    assert tokens.dtype == torch.long
    assert mask[:, 0].all()
    assert (mask[:, 1:] <= mask[:, :-1]).all()


def test_two_rollouts_are_often_the_same_and_often_not() -> None:
    """Though there are a thousand tokens to choose from."""
    assert (
        0.33 < share(continuations(1000, 2, 3), lambda drawn: drawn[0][0].equal(drawn[0][1])) < 0.7
    )


def test_they_shrink_to_one_short_rollout() -> None:
    drawn = smallest(rollouts())
    assert drawn.sequences.tolist() == [[0, 0]]
    assert drawn.anchors.tolist() == [[1]]
    assert drawn.anchor_mask.all()
    assert drawn.completions.tolist() == [[[[0]]]]
    assert drawn.completion_mask.all()


def test_a_counterexample_with_duplicates_has_two_of_them() -> None:
    drawn = smallest(rollouts(text=single_texts()).filter(KINDS["duplicates"]))
    assert drawn.completions.tolist() == [[[[0], [0]]]]


@given(st.data())
def test_log_probabilities_are_those_of_tokens_that_count(data: st.DataObject) -> None:
    drawn = data.draw(rollouts())
    log_probs = data.draw(token_log_probs(drawn))
    assert log_probs.shape == drawn.completions.shape
    assert (log_probs <= 0).all()
    assert (log_probs[~drawn.token_mask()] == 0).all()


def test_log_probabilities_differ() -> None:
    drawn = occurring(rollouts(), lambda drawn: drawn.token_mask().sum() > 3)
    occurring(
        token_log_probs(drawn), lambda found: len(set(found[drawn.token_mask()].tolist())) > 2
    )
    assert (smallest(token_log_probs(drawn)) == 0).all()
