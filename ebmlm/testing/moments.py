"""Exact mean and variance of an estimator's gradient, over every group of rollouts at once.

The loss of a group depends on the model through its tokens' log-probabilities alone. So the
gradient of each group in those is taken once, for all groups in one batch, and the gradient in the
parameters follows by the chain rule from each completion's own scores.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ebmlm.distribution import Categorical, TokenDistribution
from ebmlm.energies.base import Energy
from ebmlm.errors import UserError
from ebmlm.estimators.base import Estimator
from ebmlm.language_model import LanguageModel
from ebmlm.rollouts import Scores, SequenceBatch
from ebmlm.testing.completions import list_completions
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
    *,
    anchor: int,
    energy: Energy,
    estimator: Estimator,
    samples: int,
    horizon: int,
    distribution: TokenDistribution | None = None,
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
        samples: rollouts per anchor, N.
        horizon: tokens of a rollout at most, G.
        distribution: how tokens are drawn; at temperature 1 unless given.
        reference: for energies that need one.

    Raises:
        UserError: for a batch of several sequences, more than a hundred thousand groups, a greedy
            distribution (it has no gradient), or a model whose probabilities do not add up to one.
    """
    if len(batch) != 1:
        raise UserError(f"{len(batch)} sequences: exact moments are those of one; give batch.rows")
    distribution = Categorical() if distribution is None else distribution
    if distribution.temperature == 0:
        raise UserError("a greedy distribution has no policy gradient: use a temperature above 0")
    possible = list_completions(model, batch, anchor, distribution, horizon).possible()
    single = possible.rollouts
    tokens = model.score(single).completions[0, 0]
    index = _groups(len(possible), samples)
    rollouts = possible.groups(index)
    weights = possible.log_probs().detach()[index].sum(-1).exp()
    scored = tokens.detach()[index].unsqueeze(1)
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
