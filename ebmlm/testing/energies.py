"""Energies over listed completions: given by a table, read off an energy, and their expectation."""

from __future__ import annotations

import torch
from torch import Tensor

from ebmlm.energies.base import Energy, EnergyTerms
from ebmlm.errors import UserError
from ebmlm.rollouts import Rollouts, Scores
from ebmlm.testing.completions import Completions
from ebmlm.typing import Row, Scalar

__all__ = ["TabularEnergy", "exact_energies", "expected_energy"]


def expected_energy(probabilities: Row, unary: Row, pairwise: Tensor | None = None) -> Scalar:
    """``sum_y p(y) u(y) + 1/2 sum_yz p(y) p(z) w(y, z)``, with gradient.

    The functional whose first variation terms ``(u, w)`` are (docs/mathematics.md, eq. 3).

    Args:
        probabilities: (completion,) of all completions.
        unary: (completion,).
        pairwise: (completion, completion), symmetric, its diagonal for two samples that coincide.
    """
    value = probabilities @ unary
    if pairwise is None:
        return value
    return value + 0.5 * torch.einsum("c, c d, d ->", probabilities, pairwise, probabilities)


class TabularEnergy(Energy):
    """Any energy there can be, unary and pairwise, looked up by what a rollout says.

    A rollout's number is that of its tokens as digits, the last one the units; tokens after the
    end count as 0.

    Args:
        vocabulary: V.
        unary: (completion,) V^G numbers.
        pairwise: (completion, completion), symmetric, or None.

    Raises:
        UserError: for pairwise terms that are not symmetric, or not as many as unary ones; when
            called, for rollouts of another length than the table's, or of other tokens.
    """

    def __init__(self, vocabulary: int, unary: Row, pairwise: Tensor | None = None) -> None:
        count = len(unary)
        if pairwise is not None and pairwise.shape != (count, count):
            raise UserError(
                f"pairwise has shape {tuple(pairwise.shape)}: {count} unary energies need"
                f" {(count, count)}"
            )
        if pairwise is not None and not torch.equal(pairwise, pairwise.mT):
            raise UserError("pairwise is not symmetric: make it (w + w.mT) / 2")
        self.vocabulary = vocabulary
        self.unary = unary
        self.pairwise = pairwise

    @property
    def minimum_samples(self) -> int:
        """Two where there are pairwise terms."""
        return 1 if self.pairwise is None else 2

    def numbers(self, rollouts: Rollouts) -> Tensor:
        """Row of the table (batch, anchor, sample) for each rollout; 0 at invalid anchors."""
        horizon = rollouts.horizon
        if self.vocabulary**horizon != len(self.unary):
            raise UserError(
                f"rollouts of {horizon} tokens and a table of {len(self.unary)} energies:"
                f" {self.vocabulary} tokens need {self.vocabulary**horizon}"
            )
        tokens = torch.where(rollouts.token_mask(), rollouts.completions, 0)
        if (tokens >= self.vocabulary).any():
            raise UserError(
                f"token {int(tokens.max())} and a table of {self.vocabulary} tokens: make it one of"
                " the model's whole vocabulary"
            )
        digits = self.vocabulary ** torch.arange(horizon - 1, -1, -1)
        return (tokens * digits).sum(-1)

    def __call__(self, rollouts: Rollouts, scores: Scores) -> EnergyTerms:
        """See :meth:`Energy.__call__`."""
        number = self.numbers(rollouts)
        if self.pairwise is None:
            return EnergyTerms(self.unary[number])
        pairs = self.pairwise[number.unsqueeze(-1), number.unsqueeze(-2)]
        others = ~torch.eye(rollouts.samples, dtype=torch.bool)
        return EnergyTerms(self.unary[number], torch.where(others, pairs, 0))


@torch.no_grad()
def exact_energies(
    energy: Energy,
    completions: Completions,
    policy: Tensor,
    reference: Tensor | None = None,
) -> tuple[Row, Tensor | None]:
    """What an energy says of every completion and every pair of them.

    With :func:`expected_energy` these give its exact value, and without pairs, with
    :func:`~ebmlm.testing.divergences.exact_gibbs`, the distribution that it defines.

    Args:
        energy: one whose terms depend on the rollouts that they name and on no other of the group
            (per-anchor whitening is not of this kind).
        completions: what is listed.
        policy: token log-probabilities (completion, token) in nats, for energies that read them.
        reference: the same under a reference model.

    Returns:
        ``unary`` (completion,), and ``pairwise`` (completion, completion) or None, in the precision
        of ``policy``.
    """
    every = torch.arange(len(completions))
    index = torch.cartesian_prod(every, every)
    scores = Scores(
        policy[index].unsqueeze(1), None if reference is None else reference[index].unsqueeze(1)
    )
    terms = energy(completions.groups(index), scores)
    count = len(completions)
    unary = terms.unary[:, 0, 0].view(count, count)[:, 0].to(policy.dtype)
    if terms.pairwise is None:
        return unary, None
    return unary, terms.pairwise[:, 0, 0, 1].view(count, count).to(policy.dtype)
