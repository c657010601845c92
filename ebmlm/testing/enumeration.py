"""Exact values by listing every completion: no sampling noise.

On V tokens and a horizon of G there are V^G completions, and (V^G)^N groups of N of them. Sums
over these are exact to rounding in float64 (docs/mathematics.md, "Exactness").
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from ebmlm.distribution import TokenDistribution
from ebmlm.rollouts import Rollouts, SequenceBatch

__all__ = ["all_completions", "exact_moment_distance", "group_rollouts"]


def all_completions(vocabulary: int, horizon: int, end_tokens: tuple[int, ...] = ()) -> Tensor:
    """Every completion once, (completion, token); after an end token only zeros stand."""
    listed = []
    for tokens in itertools.product(range(vocabulary), repeat=horizon):
        end = next((place for place, token in enumerate(tokens) if token in end_tokens), horizon)
        if all(token == 0 for token in tokens[end + 1 :]):
            listed.append(tokens)
    return torch.tensor(listed)


def group_rollouts(
    batch: SequenceBatch,
    anchor: int,
    completions: Tensor,
    distribution: TokenDistribution,
    end_tokens: tuple[int, ...] = (),
) -> Rollouts:
    """Rollouts with one anchor and the given completions (sample, token) in a batch of one."""
    anchors = torch.tensor([[anchor]])
    ends = torch.isin(completions, torch.tensor(end_tokens, dtype=torch.long)).long()
    alive = (ends.cumsum(-1) - ends) == 0
    return Rollouts.given(
        batch,
        anchors,
        torch.ones_like(anchors, dtype=torch.bool),
        completions[None, None],
        distribution,
        completion_mask=alive[None, None],
    )


def exact_moment_distance(probabilities: Tensor, features: Tensor, reference: Tensor) -> Tensor:
    """``|| E_p[phi] - phi* ||^2`` with gradient: docs/mathematics.md, eq. 2, for one context.

    Args:
        probabilities: (completion,) of all completions, with gradient.
        features: (completion, feature).
        reference: (feature,).
    """
    moment = torch.einsum("c, c f -> f", probabilities, features)
    return (moment - reference).square().sum()
