"""What laws are tried on, with representations that can be read."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from einops import rearrange
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import pad

from ebmlm.energies.base import EnergyTerms
from ebmlm.rollouts import Rollouts, Scores, SequenceBatch
from ebmlm.testing.describe import Readable, describe_rollouts, numbers
from ebmlm.testing.strategies.rollouts import rollouts, token_log_probs
from ebmlm.testing.strategies.terms import energy_terms

__all__ = [
    "Judged",
    "ReadableRollouts",
    "Scored",
    "at_valid",
    "judged_rollouts",
    "noise",
    "orders",
    "padded",
    "permuted",
    "scored_rollouts",
    "scrambled",
]


@dataclass(frozen=True, eq=False)
class ReadableRollouts(Readable):
    """Rollouts alone."""

    rollouts: Rollouts

    def __str__(self) -> str:
        return describe_rollouts(self.rollouts)


@dataclass(frozen=True, eq=False)
class Judged(Readable):
    """What an estimator is given: rollouts, log-probabilities and energy terms."""

    rollouts: Rollouts
    log_probs: Tensor
    terms: EnergyTerms

    def __str__(self) -> str:
        lines = [describe_rollouts(self.rollouts), f"  log-probabilities {numbers(self.log_probs)}"]
        lines.append(f"  unary {numbers(self.terms.unary)}")
        if self.terms.pairwise is not None:
            lines.append(f"  pairwise {numbers(self.terms.pairwise)}")
        return "\n".join(lines)


@dataclass(frozen=True, eq=False)
class Scored(Readable):
    """What an energy is given: rollouts and their scores."""

    rollouts: Rollouts
    scores: Scores

    def __str__(self) -> str:
        return f"{describe_rollouts(self.rollouts)}\n  scores {numbers(self.scores.policy)}"


@st.composite
def judged_rollouts(
    draw: st.DrawFn,
    min_samples: int = 1,
    elements: st.SearchStrategy[float] | None = None,
    pairs: bool = True,
) -> Judged:
    """Rollouts, their log-probabilities, and any terms, pairwise ones too unless told otherwise."""
    drawn = draw(rollouts(min_samples=min_samples, max_samples=min_samples + 2))
    rows, places, samples, _ = drawn.completions.shape
    terms = draw(energy_terms((rows, places, samples), elements))
    if not pairs:
        terms = EnergyTerms(terms.unary)
    return Judged(drawn, draw(token_log_probs(drawn)), terms)


@st.composite
def scored_rollouts(draw: st.DrawFn, vocabulary: int, min_samples: int = 1) -> Scored:
    """Rollouts and scores under a policy and a reference."""
    drawn = draw(rollouts(vocabulary, min_samples, max_samples=min_samples + 1))
    policy, reference = draw(token_log_probs(drawn)), draw(token_log_probs(drawn))
    return Scored(drawn, Scores(policy, reference))


def noise(seed: int, vocabulary: int = 3) -> Callable[[Tensor], Tensor]:
    """Replaces a tensor by other numbers of its kind, the same ones for the same seed."""
    generator = torch.Generator().manual_seed(seed)

    def replaced(values: Tensor) -> Tensor:
        if values.dtype == torch.bool:
            return torch.rand(values.shape, generator=generator) < 0.5
        if values.is_floating_point():
            drawn = 100 * torch.randn(values.shape, generator=generator, dtype=torch.float64)
            return drawn.to(values.dtype)
        return torch.randint(vocabulary, values.shape, generator=generator)

    return replaced


def scrambled(rollouts: Rollouts, seed: int, vocabulary: int = 3) -> Rollouts:
    """The same rollouts with other tokens wherever a mask says that nothing stands there.

    Padding, its documents, tokens after the end, references that are not there, invalid anchors
    and everything at them. Which completion tokens count is kept.
    """
    other = noise(seed, vocabulary)
    batch, valid, mask = rollouts.batch, rollouts.anchor_mask, rollouts.token_mask()
    real = batch.sequence_mask

    def outside(keep: Tensor, values: Tensor) -> Tensor:
        return torch.where(keep, values, other(values))

    return dataclasses.replace(
        rollouts,
        batch=dataclasses.replace(
            batch,
            sequences=outside(real, batch.sequences),
            documents=outside(real, batch.documents),
        ),
        anchors=outside(valid, rollouts.anchors),
        completions=outside(mask, rollouts.completions),
        completion_mask=outside(valid[:, :, None, None], rollouts.completion_mask),
        references=outside(rollouts.reference_mask, rollouts.references),
        log_probs=outside(mask, rollouts.log_probs),
    )


def padded(rollouts: Rollouts, before: int, after: int, fill: int = 1) -> Rollouts:
    """The same rollouts in sequences with more padding on either side, filled with a token."""
    return dataclasses.replace(
        rollouts,
        batch=_padded_batch(rollouts.batch, before, after, fill),
        anchors=rollouts.anchors + before,
    )


def _padded_batch(batch: SequenceBatch, before: int, after: int, fill: int) -> SequenceBatch:
    return dataclasses.replace(
        batch,
        sequences=pad(batch.sequences, (before, after), value=fill),
        documents=pad(batch.documents, (before, after), value=fill),
        sequence_mask=pad(batch.sequence_mask, (before, after), value=False),
        anchors=None if batch.anchors is None else batch.anchors + before,
        targets=None if batch.targets is None else pad(batch.targets, (before, after), value=True),
    )


@st.composite
def orders(draw: st.DrawFn, samples: int) -> Tensor:
    """An order (sample,) of two samples or more that is not the one they have."""
    every = list(itertools.permutations(range(samples)))
    return torch.tensor(draw(st.sampled_from(every[1:])))


def permuted(rollouts: Rollouts, order: Tensor) -> Rollouts:
    """The samples of every anchor in another order."""
    return dataclasses.replace(
        rollouts,
        completions=rollouts.completions[:, :, order],
        completion_mask=rollouts.completion_mask[:, :, order],
        log_probs=rollouts.log_probs[:, :, order],
    )


def at_valid(values: Tensor, rollouts: Rollouts) -> Tensor:
    """What stands at valid anchors: (valid anchor, ...) of values (batch, anchor, ...)."""
    flat = rearrange(rollouts.anchor_mask, "batch anchor -> (batch anchor)")
    return values.flatten(0, 1)[flat]
