"""The laws of a sampler.

Each takes a :class:`~ebmlm.samplers.base.Sampler` and raises where it breaks the law, with a
smallest counterexample (docs/testing.md, "Laws").
"""

from __future__ import annotations

import torch
from hypothesis import strategies as st
from torch import Tensor

from ebmlm.distribution import Categorical, Greedy
from ebmlm.rollouts import Rollouts, SequenceBatch, gather_continuations
from ebmlm.samplers.base import Sampler
from ebmlm.testing.completions import Completions, list_completions
from ebmlm.testing.describe import numbers
from ebmlm.testing.laws.cases import padded
from ebmlm.testing.laws.proof import EXAMPLES, Draw, for_all, require, require_equal
from ebmlm.testing.laws.sampled import as_pairs, samplings, shortest_text
from ebmlm.testing.multinomial import multinomial_p_bound
from ebmlm.testing.tabular import TabularLanguageModel

__all__ = [
    "SAMPLER_LAWS",
    "draws_belong_to_their_sequence",
    "draws_follow_the_model",
    "greedy_is_the_argmax",
    "nothing_follows_the_end",
    "recorded_log_probs_are_scored",
    "rollouts_continue_their_text",
    "same_generator_same_draws",
]

# At most 32 tests each: under 1e-6 that a right sampler is refused.
_FALSE_ALARM = 2e-8
_DRAWS = 4000


def draws_follow_the_model(sampler: Sampler, examples: int = EXAMPLES) -> None:
    """Whole rollouts, and pairs of samples, are drawn with the model's exact probabilities.

    A multinomial test of 4000 draws with fixed seeds, under its own distribution and a cold,
    truncated one; together they refuse a right sampler with a probability under 1e-6.
    """
    length = shortest_text(sampler)
    for seed, ends in enumerate([(), (1,)]):
        generator = torch.Generator().manual_seed(seed)
        model = TabularLanguageModel(2, 3, end_tokens=ends, generator=generator)
        text = torch.randint(2, (1, length), generator=generator)
        for distribution in (sampler.distribution, Categorical(0.6, top_p=0.8)):
            _test_draws(sampler.with_distribution(distribution), model, text)


def recorded_log_probs_are_scored(sampler: Sampler, examples: int = EXAMPLES) -> None:
    """The log-probabilities that it records are what the model scores its rollouts with."""

    def holds(draw: Draw) -> None:
        sampling = draw(samplings(sampler), "sampling")
        rollouts = sampling.draw(sampler)
        scored = sampling.model.score(rollouts).completions
        drawn = rollouts.log_probs.to(scored.dtype)
        require_equal(drawn, scored, "recorded log-probabilities, against scores")

    for_all(holds, examples)


def same_generator_same_draws(sampler: Sampler, examples: int = EXAMPLES) -> None:
    """The same generator state gives the same rollouts, and is moved on by the same amount."""

    def holds(draw: Draw) -> None:
        sampling = draw(samplings(sampler), "sampling")
        states, drawn = [], []
        for batch in (sampling.batch, sampling.batch, sampling.batch.rows(0, 1)):
            generator = torch.Generator().manual_seed(sampling.seed)
            drawn.append(sampler.sample(sampling.model, batch, generator=generator))
            states.append(generator.get_state())
        require_equal(drawn[1].completions, drawn[0].completions, "completions drawn again")
        require_equal(drawn[1].log_probs, drawn[0].log_probs, "log-probabilities drawn again")
        for state, what in zip(states[1:], ("again", "for the first row alone"), strict=True):
            require(torch.equal(state, states[0]), f"drawing {what} leaves another generator state")
        before = torch.Generator().manual_seed(sampling.seed).get_state()
        require(not torch.equal(states[0], before), "the generator was not used")

    for_all(holds, examples)


def draws_belong_to_their_sequence(sampler: Sampler, examples: int = EXAMPLES) -> None:
    """A sequence's draws depend on the generator and its id, not on padding or neighbours."""

    def holds(draw: Draw) -> None:
        sampling = draw(samplings(sampler), "sampling")
        whole = sampling.draw(sampler)
        before = draw(st.integers(0, 2), "more padding before")
        wide = sampling.draw(sampler, padded(whole, before, 2).batch)
        _require_same_draws(wide, whole, "with more padding")
        for row in range(len(sampling.batch)):
            alone = sampling.draw(sampler, sampling.batch.rows(row, row + 1))
            _require_same_draws(alone, whole.rows(row, row + 1), f"of sequence {row} alone")

    for_all(holds, examples)


def greedy_is_the_argmax(sampler: Sampler, examples: int = EXAMPLES) -> None:
    """Told to be greedy, it takes the most probable token each time."""
    greedy = sampler.with_distribution(Greedy())

    def holds(draw: Draw) -> None:
        sampling = draw(samplings(sampler), "sampling")
        rollouts = sampling.draw(greedy)
        for row, place in rollouts.anchor_mask.nonzero().tolist():
            anchor = int(rollouts.anchors[row, place])
            batch = sampling.batch.rows(row, row + 1)
            listed = list_completions(sampling.model, batch, anchor, Greedy(), sampler.horizon)
            expected = listed.possible()
            found = torch.where(
                rollouts.completion_mask[row, place], rollouts.completions[row, place], 0
            )
            what = f"tokens at anchor {anchor} of sequence {row}"
            require_equal(found, expected.tokens.expand_as(found), what, 0.0)

    for_all(holds, examples)


def nothing_follows_the_end(sampler: Sampler, examples: int = EXAMPLES) -> None:
    """An end token counts and is the last that does; a rollout without one fills the horizon."""

    def holds(draw: Draw) -> None:
        sampling = draw(samplings(sampler), "sampling")
        rollouts = sampling.draw(sampler)
        ends = torch.tensor(sampling.model.end_tokens, dtype=torch.long)
        ended = torch.isin(rollouts.completions, ends).long()
        expected = (ended.cumsum(-1) - ended == 0) & rollouts.anchor_mask[:, :, None, None]
        found = rollouts.completion_mask & rollouts.anchor_mask[:, :, None, None]
        require_equal(found.long(), expected.long(), "tokens that count (1) or not (0)", 0.0)
        beyond = rollouts.log_probs[~found]
        nothing = torch.zeros_like(beyond)
        require_equal(beyond, nothing, "recorded log-probabilities after the end", 0.0)

    for_all(holds, examples)


def rollouts_continue_their_text(sampler: Sampler, examples: int = EXAMPLES) -> None:
    """Rollouts have their shapes, stand at the sampler's anchors, and come with the real text."""

    def holds(draw: Draw) -> None:
        sampling = draw(samplings(sampler), "sampling")
        rollouts = sampling.draw(sampler)
        anchors, mask = sampler.anchors(sampling.batch, sampler.horizon)
        require_equal(rollouts.anchor_mask.long(), mask.long(), "anchor mask", 0.0)
        require_equal(rollouts.anchors[mask], anchors[mask], "anchors", 0.0)
        shape = (*anchors.shape, sampler.samples, sampler.horizon)
        for name in ("completions", "completion_mask", "log_probs"):
            found = tuple(getattr(rollouts, name).shape)
            require(found == shape, f"{name} has shape {found} instead of {shape}")
        require(rollouts.distribution == sampler.distribution, "another distribution is recorded")
        width = rollouts.references.shape[-1]
        real = gather_continuations(sampling.batch, anchors, mask, width)
        require_equal(rollouts.reference_mask.long(), real[1].long(), "reference mask", 0.0)
        require_equal(rollouts.references[real[1]], real[0][real[1]], "references", 0.0)
        require(rollouts.batch is sampling.batch, "the rollouts' batch is not the one given")

    for_all(holds, examples)


SAMPLER_LAWS = (
    draws_follow_the_model,
    recorded_log_probs_are_scored,
    same_generator_same_draws,
    draws_belong_to_their_sequence,
    greedy_is_the_argmax,
    nothing_follows_the_end,
    rollouts_continue_their_text,
)
"""Every law of a sampler."""


def _require_same_draws(found: Rollouts, expected: Rollouts, when: str) -> None:
    """At valid anchors, of which there are as many in the same order."""
    for name in ("completions", "log_probs"):
        pair = [getattr(drawn, name)[drawn.anchor_mask] for drawn in (found, expected)]
        require_equal(pair[0], pair[1], f"{name} {when}")


def _test_draws(sampler: Sampler, model: TabularLanguageModel, text: Tensor) -> None:
    rows, seeds = -(-_DRAWS // (4 * sampler.samples)), range(4)
    given = torch.full((rows, 1), max(1, text.shape[1] - 1))
    batch = as_pairs(SequenceBatch.of(text.expand(rows, -1), anchors=given))
    drawn = [
        sampler.sample(model, batch, generator=torch.Generator().manual_seed(seed))
        for seed in seeds
    ]
    mask = drawn[0].anchor_mask[0]
    for place in mask.nonzero().flatten().tolist()[:2]:
        anchor = int(drawn[0].anchors[0, place])
        listed = list_completions(
            model, batch.rows(0, 1), anchor, sampler.distribution, sampler.horizon
        )
        number = torch.cat([_numbers(rollouts, place, listed) for rollouts in drawn])
        where = f"at anchor {anchor} under {sampler.distribution}, {model}"
        probabilities = listed.log_probs().detach().exp()
        require(bool((number >= 0).all()), f"a rollout that cannot be drawn was drawn {where}")
        counts = torch.bincount(number.flatten(), minlength=len(listed))
        _test(counts, probabilities, f"rollouts {where}")
        if sampler.samples > 1:
            # Whether each of two samples is in the more probable half: independent of the other.
            likely = (probabilities > probabilities.median()).long()
            share = torch.stack(
                [probabilities[likely == 0].sum(), probabilities[likely == 1].sum()]
            )
            pairs = likely[number][:, 0] * 2 + likely[number][:, 1]
            joint = (share.unsqueeze(1) * share).flatten()
            _test(torch.bincount(pairs, minlength=4), joint, f"pairs of samples {where}")


def _numbers(rollouts: Rollouts, place: int, listed: Completions) -> Tensor:
    """Number (row, sample) of each rollout among the listed completions, or -1."""
    mask = rollouts.completion_mask[:, place]
    tokens = torch.where(mask, rollouts.completions[:, place], 0)
    same = (tokens.unsqueeze(-2) == listed.tokens).all(-1)
    same &= (mask.unsqueeze(-2) == listed.mask).all(-1)
    return torch.where(same.any(-1), same.long().argmax(-1), -1)


def _test(counts: Tensor, probabilities: Tensor, what: str) -> None:
    chance = multinomial_p_bound(counts, probabilities)
    if chance < _FALSE_ALARM:
        worst = (counts - probabilities * counts.sum()).abs().topk(min(4, len(counts))).indices
        require(
            False,
            f"{what}: a right sampler draws such counts with probability {chance:.2g} at most\n"
            f"  counts {numbers(counts[worst])} of {int(counts.sum())}\n"
            f"  expected {numbers((probabilities * counts.sum())[worst])}",
        )
