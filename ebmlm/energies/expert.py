"""Another language model as an energy: products of experts."""

from __future__ import annotations

import dataclasses

import torch

from ebmlm.distribution import Categorical
from ebmlm.energies.base import Energy, EnergyTerms
from ebmlm.language_model import LanguageModel
from ebmlm.rollouts import Rollouts, Scores

__all__ = ["ExpertEnergy"]


class ExpertEnergy(Energy):
    """``-log q(y | c)`` under another language model of the same vocabulary, in nats.

    ``EnergyModel(p, weight * ExpertEnergy(q))`` is the product ``p q^weight`` (Hinton 2002). A
    negative weight makes an anti-expert.
    """

    def __init__(self, language_model: LanguageModel) -> None:
        self.language_model = language_model

    @torch.no_grad()
    def __call__(self, rollouts: Rollouts, scores: Scores) -> EnergyTerms:
        """See :meth:`Energy.__call__`."""
        plain = dataclasses.replace(rollouts, distribution=Categorical())
        unary = -self.language_model.score(plain).completions.sum(-1)
        return EnergyTerms(unary, metrics={"expert_energy": unary.mean(-1)})
