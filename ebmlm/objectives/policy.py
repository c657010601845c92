"""Objectives of a policy: draw, look, judge, move."""

from __future__ import annotations

import torch

from ebmlm.energies.base import Energy
from ebmlm.errors import UserError
from ebmlm.estimators.base import Estimate, Estimator, mean_over_anchors
from ebmlm.language_model import LanguageModel
from ebmlm.objectives.base import ItemCounts, Objective
from ebmlm.objectives.cross_entropy import cross_entropy
from ebmlm.objectives.cross_entropy_weight import CrossEntropyWeight
from ebmlm.rollouts import Rollouts, Scores, SequenceBatch
from ebmlm.samplers.base import Sampler

__all__ = ["PolicyObjective"]


class PolicyObjective(Objective):
    """Any sampler, energy and estimator, plus a share of cross-entropy on the real text.

    ``loss = estimator(energy(rollouts)) + cross_entropy * NLL``. Rollouts, the real text's
    cross-entropy and the gradient come from one forward pass over the prefix tree.

    Args:
        sampler: draws the rollouts: from the policy as it is, or from elsewhere for estimators that
            are right there (``Estimator.off_policy``).
        energy: judges them.
        estimator: turns the judgement into a gradient.
        reference: a frozen model, for energies that need one.
        cross_entropy: weight gamma of the mean negative log-likelihood per real token, or what
            chooses it from step to step.

    Raises:
        UserError: where parts do not fit: an energy that needs a reference and none given, fewer
            samples than estimator or energy needs, a greedy sampler (it has no gradient), rollouts
            that are not the policy's for an estimator that needs them to be, or a negative weight.
    """

    def __init__(
        self,
        sampler: Sampler,
        energy: Energy,
        estimator: Estimator,
        *,
        reference: LanguageModel | None = None,
        cross_entropy: float | CrossEntropyWeight = 0.0,
    ) -> None:
        if energy.needs_reference and reference is None:
            raise UserError(
                f"{type(energy).__name__} needs a reference model and the objective has none:"
                " give reference=policy.frozen()"
            )
        if sampler.samples < estimator.minimum_samples:
            raise UserError(
                f"{sampler.samples} sample per anchor: {type(estimator).__name__} needs at least"
                f" {estimator.minimum_samples}; draw more, or use Reinforce()"
            )
        if sampler.samples < energy.minimum_samples:
            raise UserError(
                f"{sampler.samples} sample per anchor: {type(energy).__name__} compares rollouts"
                f" with each other and needs at least {energy.minimum_samples}; draw more"
            )
        if sampler.distribution.temperature == 0:
            raise UserError(
                "a greedy sampler has no policy gradient: sample at a temperature above 0"
            )
        if not (sampler.on_policy or estimator.off_policy):
            raise UserError(
                f"{type(sampler).__name__} draws from something else than the policy, and the"
                f" gradient of {type(estimator).__name__} is right for draws of the policy alone:"
                " use LogVariance() with a TargetEnergy, or a sampler of the policy"
            )
        if not isinstance(cross_entropy, CrossEntropyWeight) and not (
            0 <= cross_entropy < float("inf")
        ):
            raise UserError(
                f"cross_entropy is {cross_entropy}: its weight must be finite and at least 0"
            )
        self.sampler = sampler
        self.energy = energy
        self.estimator = estimator
        self.reference = reference
        self.cross_entropy = cross_entropy

    def loss(
        self,
        model: LanguageModel,
        batch: SequenceBatch,
        *,
        counts: ItemCounts | None = None,
        generator: torch.Generator | None = None,
    ) -> Estimate:
        """See :meth:`Objective.loss`.

        Reports the energy's and the estimator's metrics, ``reward`` (minus the energy),
        ``rollout_length`` in tokens, and where it has a weight ``cross_entropy`` in nats a token;
        where that is chosen, also ``cross_entropy_weight``.
        """
        rollouts = self.sampler.sample(model, batch, generator=generator)
        own = ItemCounts(int(rollouts.anchor_mask.sum()), int(batch.target_mask().sum()))
        counts = own if counts is None else counts

        weight = self.cross_entropy
        weighed = isinstance(weight, CrossEntropyWeight) or weight > 0
        scoring = model.score(rollouts, sequences=weighed)
        terms = self.energy(rollouts, self._scores(rollouts, scoring.completions.detach()))
        estimate = self.estimator(scoring.completions, terms, rollouts)

        share = own.anchors / max(counts.anchors, 1)
        loss = estimate.loss * share
        metrics = {name: value * share for name, value in estimate.metrics.items()}
        per_anchor = dict(terms.metrics)
        per_anchor["reward"] = -terms.per_sample().mean(-1)
        per_anchor["rollout_length"] = rollouts.token_mask().sum(-1).float().mean(-1)
        for name, value in per_anchor.items():
            metrics[name] = mean_over_anchors(value, rollouts.anchor_mask) * share
        if scoring.sequences is not None:
            likelihood = cross_entropy(scoring.sequences, counts.tokens)
            if isinstance(weight, CrossEntropyWeight):
                weight = weight(loss, scoring.completions, likelihood, scoring.sequences)
                metrics["cross_entropy_weight"] = likelihood.new_tensor(weight * share)
            loss = loss + weight * likelihood
            metrics["cross_entropy"] = likelihood.detach()
        return Estimate(loss, metrics)

    def counts(self, batch: SequenceBatch) -> ItemCounts:
        """See :meth:`Objective.counts`."""
        anchors = self.sampler.anchors.counts(batch, self.sampler.horizon)
        return ItemCounts(int(anchors.sum()), int(batch.target_mask().sum()))

    def _scores(self, rollouts: Rollouts, policy: torch.Tensor) -> Scores:
        if self.reference is None or not self.energy.needs_reference:
            return Scores(policy)
        with torch.no_grad():
            return Scores(policy, self.reference.score(rollouts).completions)
