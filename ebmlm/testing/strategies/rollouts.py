"""Rollouts: any completions at any anchors, with duplicates and early ends."""

from __future__ import annotations

import torch
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from torch import Tensor

from ebmlm.distribution import TokenDistribution
from ebmlm.rollouts import Rollouts, SequenceBatch
from ebmlm.testing.strategies.configurations import distributions
from ebmlm.testing.strategies.numbers import tensors
from ebmlm.testing.strategies.texts import anchors, batches

__all__ = ["continuations", "rollouts", "token_log_probs"]


@st.composite
def rollouts(
    draw: st.DrawFn,
    vocabulary: int = 3,
    min_samples: int = 1,
    max_samples: int = 3,
    max_horizon: int = 3,
    text: SearchStrategy[SequenceBatch] | None = None,
    distribution: SearchStrategy[TokenDistribution] | None = None,
) -> Rollouts:
    """Completions at anchors of a batch; not drawn, so without log-probabilities of their own.

    Two samples of an anchor are often the same, and often end before the horizon. What stands
    after the end, and at invalid anchors, is any token.

    Args:
        draw: given by Hypothesis.
        vocabulary: token ids are below it.
        min_samples: rollouts per anchor at least.
        max_samples: rollouts per anchor at most.
        max_horizon: tokens of a rollout at most.
        text: what they continue; :func:`batches` unless given.
        distribution: what they count as drawn from; :func:`distributions` unless given.
    """
    batch = draw(batches(vocabulary, max_rows=2, max_length=6) if text is None else text)
    starts, valid = draw(anchors(batch, max_anchors=2))
    samples = draw(st.integers(min_samples, max(min_samples, max_samples)))
    horizon = draw(st.integers(1, max_horizon))
    rows, places = starts.shape
    tokens, masks = [], []
    for _ in range(rows * places):
        drawn, alive = draw(continuations(vocabulary, samples, horizon))
        tokens.append(drawn)
        masks.append(alive)
    shape = (rows, places, samples, horizon)
    return Rollouts.given(
        batch,
        starts,
        valid,
        torch.stack(tokens).view(shape),
        draw(distributions() if distribution is None else distribution),
        completion_mask=torch.stack(masks).view(shape) & valid[:, :, None, None],
    )


@st.composite
def continuations(
    draw: st.DrawFn, vocabulary: int, samples: int, horizon: int
) -> tuple[Tensor, Tensor]:
    """Tokens (sample, token) of one anchor and which of them count; at least the first does."""
    tokens = torch.zeros(samples, horizon, dtype=torch.long)
    mask = torch.zeros(samples, horizon, dtype=torch.bool)
    token = st.integers(0, vocabulary - 1)
    for sample in range(samples):
        if sample and draw(st.sampled_from([False, False, True])):
            twin = draw(st.integers(0, sample - 1))
            tokens[sample], mask[sample] = tokens[twin], mask[twin]
        else:
            tokens[sample] = torch.tensor(draw(st.lists(token, min_size=horizon, max_size=horizon)))
            mask[sample, : horizon - draw(st.integers(0, horizon - 1))] = True
    return tokens, mask


def token_log_probs(rollouts: Rollouts) -> SearchStrategy[Tensor]:
    """Log-probabilities (batch, anchor, sample, token) in nats, zero where tokens do not count."""
    element = st.integers(-8, 0).map(lambda number: number / 2)
    return tensors(rollouts.completions.shape, element).map(
        lambda values: torch.where(rollouts.token_mask(), values, 0)
    )
