"""Rewards from which a trainer that knows no pairs computes the advantages that are right."""

from __future__ import annotations

from abc import ABC, abstractmethod

from ebmlm.energies.base import EnergyTerms
from ebmlm.errors import UserError
from ebmlm.typing import BatchAnchorSample

__all__ = ["Correction", "ForGRPO", "ForRLOO"]


class Correction(ABC):
    """Answers one question: which rewards make a trainer's advantages those of ``RLOO``?

    The advantages are ``-(e_j - b_j)`` with the baseline that leaves sample j out twice
    (docs/mathematics.md, eq. 7). From three samples on they add up to zero in each group, as the
    trainers' own do, so that such rewards exist; of two samples with pairs they do not, and there
    is no such reward (docs/trl.md, "Corrected rewards").
    """

    @abstractmethod
    def __call__(self, terms: EnergyTerms) -> BatchAnchorSample:
        """Return the rewards (batch, anchor, sample), high is good.

        Raises:
            UserError: for a single sample, or pairwise terms of two.
        """


class ForRLOO(Correction):
    """``r_j = -(u_j + 1/(N-2) sum_{k != j} w_jk)``, for the mean of the other samples' rewards.

    That baseline cancels a share of 1/(N-1) of the pairwise terms, which are raised by as much
    here (docs/trl.md, "Corrected rewards").
    """

    def __call__(self, terms: EnergyTerms) -> BatchAnchorSample:
        """See :meth:`Correction.__call__`."""
        if terms.samples < 2:
            raise UserError(
                f"{terms.samples} sample per prompt: a baseline of its siblings needs at least 2;"
                " raise num_generations"
            )
        if terms.pairwise is None:
            return -terms.unary
        if terms.samples == 2:
            raise UserError(
                "num_generations is 2: the trainer's baseline then cancels the pairwise terms"
                " (diversity) altogether, and no reward brings them back; take at least 3, or an"
                " energy without pairs (diversity=0)"
            )
        return -(terms.unary + terms.pairwise.sum(-1) / (terms.samples - 2))


class ForGRPO(Correction):
    """The rewards of :class:`ForRLOO` times N/(N-1), for the mean of all samples' rewards.

    Exact with ``scale_rewards="none"``. With rewards divided by a standard deviation it still
    restores the balance of unary and pairwise terms, and no more than that.
    """

    def __call__(self, terms: EnergyTerms) -> BatchAnchorSample:
        """See :meth:`Correction.__call__`."""
        rewards = ForRLOO()(terms)
        return rewards * (terms.samples / (terms.samples - 1))
