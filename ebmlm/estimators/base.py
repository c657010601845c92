"""The estimator: how does an energy move the parameters?"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from ebmlm.energies.base import EnergyTerms
from ebmlm.rollouts import Rollouts
from ebmlm.typing import BatchAnchor, BatchAnchorSample, BatchAnchorSampleToken, Scalar

__all__ = [
    "Estimate",
    "Estimator",
    "credit_bias",
    "mean_over_anchors",
    "mean_token_log_prob",
    "policy_gradient",
    "sequence_log_prob",
]

Credit = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Estimate:
    """A surrogate loss and what was measured on the way.

    Attributes:
        loss: a scalar whose gradient is the estimate; its value means nothing by itself.
        metrics: named scalars, means over valid anchors or real tokens.
    """

    loss: Scalar
    metrics: Mapping[str, Tensor] = field(default_factory=dict)


class Estimator(ABC):
    """Answers one question: how does the energy of what was drawn move the parameters?

    The loss is a mean over valid anchors, so that an objective can weigh pieces of a batch. Its
    gradient flows through ``log_probs`` only.

    Attributes:
        minimum_samples: rollouts per anchor that it needs.
        off_policy: whether it is right for rollouts that were not drawn from the policy; the
            policy gradient is not.
        takes_pairs: whether it can do with pairwise terms; what cannot refuses them.
    """

    minimum_samples: int = 1
    off_policy: ClassVar[bool] = False
    takes_pairs: ClassVar[bool] = True

    @property
    def bias(self) -> str | None:
        """Why its expected gradient is not that of the energy's functional; None where it is.

        A declaration in words: the test kit holds an estimator that declares nothing to exactness
        (docs/testing.md, "Declared bias").
        """
        return None

    @abstractmethod
    def __call__(
        self, log_probs: BatchAnchorSampleToken, terms: EnergyTerms, rollouts: Rollouts
    ) -> Estimate:
        """Return the estimate.

        Args:
            log_probs: of the rollouts' tokens under the policy, in nats, with gradient.
            terms: the rollouts' energies, without gradient.
            rollouts: what was drawn.
        """


def sequence_log_prob(log_probs: BatchAnchorSampleToken, mask: BatchAnchorSampleToken) -> Tensor:
    """Sum (batch, anchor, sample) over a rollout's tokens: credit with the exact gradient."""
    return torch.where(mask, log_probs, 0).sum(-1)


def mean_token_log_prob(log_probs: BatchAnchorSampleToken, mask: BatchAnchorSampleToken) -> Tensor:
    """Mean (batch, anchor, sample) over a rollout's tokens: the credit of the paper's code.

    Where every rollout has the same length it is :func:`sequence_log_prob` divided by that length,
    which fixes the scale against cross-entropy; otherwise the gradient is biased towards tokens of
    short rollouts.
    """
    return sequence_log_prob(log_probs, mask) / mask.sum(-1).clamp(min=1)


def credit_bias(credit: Credit) -> str | None:
    """What :attr:`Estimator.bias` says of a credit: None for :func:`sequence_log_prob` alone."""
    if credit is sequence_log_prob:
        return None
    name = getattr(credit, "__name__", type(credit).__name__)
    return f"credit is {name}, not a rollout's whole log-probability"


def mean_over_anchors(values: BatchAnchor, anchor_mask: BatchAnchor) -> Scalar:
    """Mean over valid anchors; zero, with its graph, where there is none."""
    return torch.where(anchor_mask, values, 0).sum() / anchor_mask.sum().clamp(min=1)


def policy_gradient(
    log_probs: BatchAnchorSampleToken,
    advantages: BatchAnchorSample,
    rollouts: Rollouts,
    credit: Credit,
) -> Estimate:
    """The score-function surrogate ``mean_j stopgrad(A_j) s_j`` (docs/mathematics.md, eq. 8).

    Args:
        log_probs: with gradient.
        advantages: energies less their baselines; positive pushes a rollout's probability down.
        rollouts: what was drawn.
        credit: :func:`sequence_log_prob` or :func:`mean_token_log_prob`.
    """
    scored = credit(log_probs, rollouts.completion_mask)
    weights = torch.where(rollouts.anchor_mask.unsqueeze(-1), advantages, 0).detach()
    loss = mean_over_anchors((weights * scored).mean(-1), rollouts.anchor_mask)
    spread = mean_over_anchors(weights.square().mean(-1), rollouts.anchor_mask)
    return Estimate(loss, {"advantage_square": spread})
