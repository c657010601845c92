"""The energy-based model of a language model and an energy."""

from __future__ import annotations

import dataclasses

import torch

from ebmlm.distribution import Categorical, TokenDistribution
from ebmlm.energies.base import Energy
from ebmlm.errors import UserError
from ebmlm.language_model import LanguageModel
from ebmlm.rollouts import Rollouts, Scores
from ebmlm.typing import BatchAnchorSample, BatchAnchorSampleToken

__all__ = ["EnergyModel"]


class EnergyModel:
    """``p(y | c)`` proportional to ``p_LM(y | c) exp(-E(c, y) / temperature)``, over completions y.

    Completions are those of up to a horizon of tokens, as a sampler's are. A product of experts is
    a sum of energies; a hard constraint is an energy of plus infinity.

    Args:
        language_model: fixed, usually ``policy.frozen()``.
        energy: without pairwise terms: a completion's energy must not depend on other samples.
        temperature: divisor of the energy, above 0.
        distribution: how ``p_LM`` draws a token from the language model's logits; plain unless
            given.

    Raises:
        UserError: for a temperature that is not above zero, an energy that needs several samples,
            or a greedy distribution; when called, for an energy that is minus infinity or not a
            number.
    """

    def __init__(
        self,
        language_model: LanguageModel,
        energy: Energy,
        temperature: float = 1.0,
        distribution: TokenDistribution | None = None,
    ) -> None:
        if not 0 < temperature < float("inf"):
            raise UserError(f"temperature is {temperature}: it must be above 0 and finite")
        if energy.minimum_samples > 1:
            raise UserError(
                f"{type(energy).__name__} compares samples with each other: a target gives every"
                " completion an energy of its own"
            )
        distribution = Categorical() if distribution is None else distribution
        if distribution.temperature == 0:
            raise UserError("a greedy distribution has one completion: nothing is left to weigh")
        self.language_model = language_model
        self.energy = energy
        self.temperature = temperature
        self.distribution = distribution

    @torch.no_grad()
    def log_density(self, rollouts: Rollouts) -> BatchAnchorSample:
        """``log p_LM(y | c) - E(c, y) / temperature`` (batch, anchor, sample), in nats.

        The log of the target's probability, up to the log-partition function of each context;
        minus infinity where a constraint is broken, zero at invalid anchors.
        """
        scored = self._scored(rollouts)
        energies = self._energies(rollouts, scored)
        density = scored.sum(-1) - energies / self.temperature
        return torch.where(rollouts.anchor_mask.unsqueeze(-1), density, 0)

    @torch.no_grad()
    def energies(self, rollouts: Rollouts) -> BatchAnchorSample:
        """``E(c, y)`` (batch, anchor, sample), zero at invalid anchors."""
        return self._energies(rollouts, self._scored(rollouts))

    def log_weights(self, rollouts: Rollouts) -> BatchAnchorSample:
        """Log importance weights (batch, anchor, sample) of what was drawn, in nats.

        :meth:`log_density` less the log-probability that a rollout was drawn with
        (``rollouts.log_probs``); their mean over draws, exponentiated, is an unbiased estimate of
        the partition function.
        """
        drawn = torch.where(rollouts.token_mask(), rollouts.log_probs, 0).sum(-1)
        density = self.log_density(rollouts)
        return density - drawn.to(density.dtype)

    def proposed_log_weights(self, rollouts: Rollouts) -> BatchAnchorSample:
        """:meth:`log_weights` of what was drawn from this target's own language model.

        Where it was drawn by the target's own token distribution, the language model cancels and
        ``-E / temperature`` is left, without what rounding leaves of two passes that score the same
        tokens (tenths of a nat in bfloat16).
        """
        if rollouts.distribution != self.distribution:
            return self.log_weights(rollouts)
        return -self.energies(rollouts) / self.temperature

    def _scored(self, rollouts: Rollouts) -> BatchAnchorSampleToken:
        plain = dataclasses.replace(rollouts, distribution=self.distribution)
        return self.language_model.score(plain).completions

    def _energies(self, rollouts: Rollouts, scored: BatchAnchorSampleToken) -> BatchAnchorSample:
        plain = dataclasses.replace(rollouts, distribution=self.distribution)
        terms = self.energy(plain, Scores(scored, scored))
        if terms.pairwise is not None:
            raise UserError(
                f"{type(self.energy).__name__} has pairwise terms: a target gives every completion"
                " an energy of its own"
            )
        valid = rollouts.anchor_mask.unsqueeze(-1)
        energies = torch.where(valid, terms.unary, 0).to(scored.dtype)
        if not (energies > -torch.inf).all():
            wrong = float(energies[~(energies > -torch.inf)][0])
            raise UserError(
                f"{type(self.energy).__name__} gave the energy {wrong}: it must be a number above"
                " minus infinity"
            )
        return energies
