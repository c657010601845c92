"""A verifier's score as an energy: reinforcement learning with verifiable rewards."""

from __future__ import annotations

import torch

from ebmlm.energies.base import Energy, EnergyTerms
from ebmlm.errors import UserError
from ebmlm.rollouts import Rollouts, Scores
from ebmlm.texts import Texts
from ebmlm.verifiers.base import Verifier

__all__ = ["VerifierEnergy"]


class VerifierEnergy(Energy):
    """Minus the score of each rollout's text, so that the reward is the score.

    Reports ``score``; ``solved``, the share of rollouts that solve their item; and ``undecided``,
    the share of anchors where some rollouts score otherwise than others: at all others a policy
    gradient with a baseline is zero.

    Args:
        verifier: scores completions, high is good.
        texts: of the data that the rollouts branch off from.

    Raises:
        UserError: when called, for a verifier that returns another number of scores than there are
            attempts, or one that is not finite.
    """

    def __init__(self, verifier: Verifier, texts: Texts) -> None:
        self.verifier = verifier
        self.texts = texts

    @torch.no_grad()
    def __call__(self, rollouts: Rollouts, scores: Scores) -> EnergyTerms:
        """See :meth:`Energy.__call__`; float32, or float64 where the policy's scores are."""
        written = self.texts.attempts(rollouts)
        values = self.verifier([each.attempt for each in written])
        name = type(self.verifier).__name__
        if len(values) != len(written):
            raise UserError(
                f"{name} returned {len(values)} scores for {len(written)} attempts: a verifier"
                " must return one for each"
            )
        given = torch.tensor(values, dtype=scores.policy.dtype)
        if not given.isfinite().all():
            raise UserError(f"{name} returned a score that is not finite: scores must be numbers")
        score = scores.policy.new_zeros(rollouts.completions.shape[:3])
        if written:
            places = torch.tensor([each.place for each in written], device=score.device)
            score[tuple(places.unbind(1))] = given.to(score.device)
        solved = (score >= self.verifier.solved_from).to(score.dtype)
        spread = score.amax(-1) - score.amin(-1)
        metrics = {
            "score": score.mean(-1),
            "solved": solved.mean(-1),
            "undecided": (spread > 0).to(score.dtype),
        }
        return EnergyTerms(-score, metrics=metrics)
