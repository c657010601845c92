"""Language models that score wrongly."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from ebmlm.distribution import Categorical
from ebmlm.language_model import Scoring
from ebmlm.rollouts import Rollouts, SequenceBatch
from ebmlm.testing.bugs.bug import Bug
from ebmlm.testing.laws.language_model import (
    branches_are_scored_as_text,
    what_is_scored_is_tempered,
)
from ebmlm.testing.tabular import TabularLanguageModel

__all__ = ["LANGUAGE_MODEL_BUGS", "LeakingDocuments", "ScoredAtOne", "ShiftedParents"]


class _Table(TabularLanguageModel):
    def __init__(self) -> None:
        super().__init__(3, 3, layers=1, hidden=2, generator=torch.Generator().manual_seed(0))


class ShiftedParents(_Table):
    """Scores a token with the logits of the position before it in memory, not of its parent.

    The first token of a branch follows another branch's last one in memory.
    """

    def score(self, rollouts: Rollouts, *, sequences: bool = False) -> Scoring:
        """See :meth:`LanguageModel.score`."""
        mask = rollouts.token_mask()
        trunk = self._trunk_states(rollouts.batch)
        memory = torch.cat([trunk, self._branch_states(rollouts)[..., 1:].flatten(1)], dim=1)
        before = memory[:, trunk.shape[1] - 1 : -1].view(mask.shape)
        tokens = rollouts.completions[mask]
        scored = rollouts.distribution.log_prob(self.logits[before[mask]], tokens)
        completions = self.logits.new_zeros(mask.shape).masked_scatter(mask, scored)
        return Scoring(completions, self.score_sequences(rollouts.batch) if sequences else None)


class ScoredAtOne(_Table):
    """Draws at a temperature and scores at temperature 1."""

    def score(self, rollouts: Rollouts, *, sequences: bool = False) -> Scoring:
        """See :meth:`LanguageModel.score`."""
        plain = dataclasses.replace(rollouts, distribution=Categorical())
        return super().score(plain, sequences=sequences)


class LeakingDocuments(_Table):
    """Lets a token see the documents that were packed before its own, and the padding."""

    def _windows(self, batch: SequenceBatch, ends: Tensor, starts: Tensor) -> Tensor:
        return super()._windows(batch, ends, torch.zeros_like(starts))


LANGUAGE_MODEL_BUGS = (
    Bug("shifted parent logits", ShiftedParents, branches_are_scored_as_text),
    Bug("temperature missing in scoring", ScoredAtOne, what_is_scored_is_tempered),
    Bug("packed documents leak", LeakingDocuments, branches_are_scored_as_text),
)
"""Every wrong language model."""
