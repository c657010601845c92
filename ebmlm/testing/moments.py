"""Exact mean and variance of an estimator's gradient, over every group of rollouts at once.

The loss of a group depends on the model through its tokens' log-probabilities alone. So the
gradient of each group in those is taken once, for all groups in one batch, and the gradient in the
parameters follows by the chain rule from each completion's own scores.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ebmlm.distribution import TokenDistribution
from ebmlm.energies.base import Energy
from ebmlm.errors import UserError
from ebmlm.estimators.base import Estimator
from ebmlm.language_model import LanguageModel
from ebmlm.rollouts import Rollouts, Scores, SequenceBatch
from ebmlm.testing.enumeration import all_completions, group_rollouts
from ebmlm.typing import Scalar

__all__ = ["GradientMoments", "estimator_moments"]

_MOST_GROUPS = 100_000


@dataclass(frozen=True, eq=False)
class GradientMoments:
    """Exact moments of an estimator's gradient over groups drawn from the model.

    Attributes:
        mean: in the shape of the parameter, in the energy's unit per unit of the parameter.
        variance: scalar ``E |g - E g|^2``, the trace of the gradient's covariance, in that unit
            squared.
    """

    mean: Tensor
    variance: Scalar


def estimator_moments(
    model: LanguageModel,
    parameter: Tensor,
    batch: SequenceBatch,
    anchor: int,
    energy: Energy,
    estimator: Estimator,
    distribution: TokenDistribution,
    *,
    samples: int,
    horizon: int,
    reference: LanguageModel | None = None,
) -> GradientMoments:
    """Exact mean and variance of the gradient of one anchor, over groups of ``samples`` rollouts.

    docs/mathematics.md, "Exactness".

    Args:
        model: the policy; small enough to list what it can say.
        parameter: of the model, in which gradients are taken.
        batch: of one sequence.
        anchor: index of the first generated token.
        energy: judges each group as if it had been drawn.
        estimator: whose gradient is looked at.
        distribution: how tokens are drawn.
        samples: rollouts per anchor, N.
        horizon: tokens of a rollout at most, G.
        reference: for energies that need one.

    Raises:
        UserError: for a batch of several sequences, more than a hundred thousand groups, or a
            distribution whose scores of all completions do not add up to one (greedy, or
            truncated: scoring counts a truncated token in).
    """
    if len(batch) != 1:
        raise UserError(f"{len(batch)} sequences: exact moments are those of one; give batch.rows")
    listed = all_completions(model.vocabulary_size, horizon, model.end_tokens)
    single = group_rollouts(batch, anchor, listed, distribution, model.end_tokens)
    tokens = model.score(single).completions[0, 0]
    total = float(tokens.detach().sum(-1).exp().sum())
    if abs(total - 1) > 1e-9:
        raise UserError(
            f"under {distribution} the probabilities of all completions add up to {total:.6g}:"
            " exact moments need 1, so draw without truncation"
        )
    index = _groups(len(listed), samples)
    rollouts = _one_group_a_row(single, index)
    scored = tokens.detach()[index].unsqueeze(1)
    weights = scored.sum((1, 2, 3)).exp()
    scores = Scores(scored)
    if reference is not None:
        with torch.no_grad():
            known = reference.score(single).completions[0, 0]
        scores = Scores(scored, known[index].unsqueeze(1))
    leaves = scored.clone().requires_grad_(True)
    loss = estimator(leaves, energy(rollouts, scores), rollouts).loss
    # A loss is a mean over anchors, here one a row: a group alone would weigh that much more.
    (each,) = torch.autograd.grad(loss * len(index), leaves)

    jacobian = torch.stack(
        [
            torch.autograd.grad(value, parameter, retain_graph=True)[0].flatten()
            for value in tokens.flatten()
        ]
    )
    pushes = each.new_zeros(len(index), tokens.numel())
    width = tokens.shape[-1]
    places = index.unsqueeze(-1) * width + torch.arange(width)
    pushes.scatter_add_(1, places.flatten(1), each.flatten(1))
    mean = weights @ pushes
    overlap = jacobian @ jacobian.mT
    squares = torch.einsum("g i, i j, g j -> g", pushes - mean, overlap, pushes - mean)
    return GradientMoments((mean @ jacobian).view_as(parameter), weights @ squares)


def _groups(completions: int, samples: int) -> Tensor:
    """Every group (group, sample) of numbers of completions."""
    count = completions**samples
    if count > _MOST_GROUPS:
        raise UserError(
            f"{completions} completions make {count} groups of {samples}: at most {_MOST_GROUPS}"
            " can be listed; use fewer tokens, a shorter horizon or fewer samples"
        )
    every = torch.arange(completions)
    return torch.cartesian_prod(*[every] * samples).view(count, samples)


def _one_group_a_row(single: Rollouts, index: Tensor) -> Rollouts:
    """The completions of ``single`` as groups (group, sample), one in each row of a batch."""
    rows = len(index)
    batch = single.batch.map(lambda tensor: tensor.expand(rows, *tensor.shape[1:]))
    return Rollouts.given(
        batch,
        single.anchors.expand(rows, -1),
        single.anchor_mask.expand(rows, -1),
        single.completions[0, 0][index].unsqueeze(1),
        single.distribution,
        completion_mask=single.completion_mask[0, 0][index].unsqueeze(1),
    )
