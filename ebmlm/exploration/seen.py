"""Drawing rollouts at a few anchors, and looking at them as an objective does."""

from __future__ import annotations

import copy
import dataclasses
from dataclasses import dataclass

import torch
from torch import Tensor

from ebmlm.data.collate import collate
from ebmlm.data.row import TextRows
from ebmlm.energies.base import EnergyTerms
from ebmlm.errors import UserError
from ebmlm.exploration.advantages import advantages_of
from ebmlm.exploration.parts import Look, weighted_parts
from ebmlm.features.base import Features
from ebmlm.language_model import LanguageModel
from ebmlm.objectives.policy import PolicyObjective
from ebmlm.rollouts import Rollouts, Scores, SequenceBatch
from ebmlm.samplers.anchors import GivenAnchors
from ebmlm.samplers.base import Sampler
from ebmlm.typing import BatchAnchorSample

__all__ = ["Seen", "rows_spread", "see", "with_anchors"]


@dataclass(frozen=True, eq=False)
class Seen:
    """Rollouts, their features and what an objective makes of them, on the CPU.

    Attributes:
        rollouts: what was drawn.
        features: of the rollouts and references.
        matched: the terms of the energy that looks through the feature map, times its factor.
        terms: those of the whole energy.
        advantages: (batch, anchor, sample) of the objective's estimator, positive makes likelier.
    """

    rollouts: Rollouts
    features: Features
    matched: EnergyTerms
    terms: EnergyTerms
    advantages: BatchAnchorSample


def rows_spread(rows: TextRows, number: int) -> SequenceBatch:
    """Return ``number`` rows as a batch, evenly spread over all there are.

    Raises:
        UserError: if there is no row, or fewer than one is asked for.
    """
    if number < 1:
        raise UserError(f"rows is {number}: draw at least 1")
    if not len(rows):
        raise UserError("there are no rows in this part of the data")
    number = min(number, len(rows))
    return collate([rows[place * len(rows) // number] for place in range(number)])


def with_anchors(batch: SequenceBatch, sampler: Sampler, number: int) -> SequenceBatch:
    """Return the batch with ``number`` of the sampler's valid anchors, evenly spread over them.

    They are the batch's own ``anchors``, in order; rows without any are left out.

    Raises:
        UserError: if fewer than one is asked for, or there is no valid one.
    """
    if number < 1:
        raise UserError(f"anchors is {number}: draw at least 1")
    anchors, mask = sampler.anchors(batch, sampler.horizon)
    valid = mask.nonzero()
    if not len(valid):
        raise UserError(
            f"no valid anchor in {len(batch)} rows: no window of {sampler.horizon} tokens lies"
            " inside one document after its context; draw more rows, or take longer ones"
        )
    number = min(number, len(valid))
    places = torch.arange(number, device=valid.device) * len(valid) // number
    chosen = torch.zeros_like(mask)
    chosen[tuple(valid[places].unbind(1))] = True
    rows = chosen.any(1)
    batch = batch.map(lambda tensor: tensor[rows])
    anchors, chosen = anchors[rows], chosen[rows]
    order = chosen.long().argsort(dim=1, descending=True, stable=True)[
        :, : int(chosen.sum(1).max())
    ]
    return dataclasses.replace(
        batch,
        anchors=anchors.gather(1, order).masked_fill(~chosen.gather(1, order), 0),
        anchor_mask=chosen.gather(1, order),
    )


@torch.no_grad()
def see(
    objective: PolicyObjective,
    look: Look,
    policy: LanguageModel,
    batch: SequenceBatch,
    generator: torch.Generator,
) -> Seen:
    """Draw rollouts at the batch's own anchors and look at them as the objective does.

    An energy whose metric is made of a whole batch sees this one.

    Args:
        objective: whose sampler, energy and estimator are used.
        look: through which feature map.
        policy: what is drawn from.
        batch: from :func:`with_anchors`, where the policy is.
        generator: of the draws.
    """
    sampler = copy.copy(objective.sampler)
    sampler.anchors = GivenAnchors()
    rollouts = sampler.sample(policy, batch, generator=generator)
    scores = Scores(policy.score(rollouts).completions)
    if objective.reference is not None and objective.energy.needs_reference:
        scores = Scores(scores.policy, objective.reference.score(rollouts).completions)
    # Each part once: one that keeps a running average would take the same batch in twice.
    weighted = [
        factor * energy(rollouts, scores) for energy, factor in weighted_parts(objective.energy)
    ]
    terms = weighted[0]
    for part in weighted[1:]:
        terms = terms + part
    advantages = advantages_of(objective.estimator, scores.policy, terms, rollouts)
    features = look.features(rollouts)
    return Seen(
        rollouts=rollouts.to("cpu"),
        features=Features(
            features.rollouts.cpu(),
            None if features.references is None else features.references.cpu(),
            features.blocks,
        ),
        matched=_on_cpu(weighted[look.part]),
        terms=_on_cpu(terms),
        advantages=advantages.cpu(),
    )


def _on_cpu(terms: EnergyTerms) -> EnergyTerms:
    def moved(tensor: Tensor | None) -> Tensor | None:
        return None if tensor is None else tensor.cpu()

    return EnergyTerms(terms.unary.cpu(), moved(terms.pairwise))
