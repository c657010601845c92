"""Anchors where the real text surprises a model, out of places that another placement gives."""

from __future__ import annotations

import torch

from ebmlm.errors import UserError
from ebmlm.language_model import LanguageModel
from ebmlm.rollouts import SequenceBatch, gather_continuations
from ebmlm.samplers.anchors import AnchorPlacement
from ebmlm.typing import BatchAnchor

__all__ = ["SurprisingAnchors"]


class SurprisingAnchors(AnchorPlacement):
    """Of each sequence's candidates, the share whose real continuation a model finds hardest.

    How hard is its mean negative log-likelihood, in nats a token, over the ``horizon`` tokens after
    the candidate, or those of its document that are left. It looks at the real text and not at
    rollouts, so that estimators stay what they are: the objective counts these anchors and no
    others. Candidates that are left out cost nothing but one pass of the model over the text.

    Args:
        network: the model; a frozen one, so that places stay the same in training.
        candidates: where anchors may be.
        share: of a sequence's valid candidates that is kept, rounded up.

    Raises:
        UserError: for a share outside (0, 1].
    """

    def __init__(
        self, network: LanguageModel, candidates: AnchorPlacement, share: float = 0.5
    ) -> None:
        if not 0 < share <= 1:
            raise UserError(f"share is {share}: it must be above 0 and at most 1")
        self.network = network
        self.candidates = candidates
        self.share = share

    def __call__(self, batch: SequenceBatch, horizon: int) -> tuple[BatchAnchor, BatchAnchor]:
        """See :meth:`AnchorPlacement.__call__`; anchors are in the order of the text."""
        anchors, mask = self.candidates(batch, horizon)
        kept = self._kept(mask)
        width = max(int(kept.max()), 1)
        surprise = torch.where(mask, self._surprise(batch, anchors, mask, horizon), -torch.inf)
        order = surprise.argsort(dim=1, descending=True, stable=True)[:, :width]
        hardest = torch.arange(width, device=mask.device) < kept.unsqueeze(1)
        # Those that fill up go last when places are put in order.
        last = anchors.shape[1]
        order = torch.where(hardest, order, last).sort(dim=1).values
        return (
            torch.where(hardest, anchors.gather(1, order.clamp(max=last - 1)), 0),
            hardest,
        )

    def counts(self, batch: SequenceBatch, horizon: int) -> torch.Tensor:
        """See :meth:`AnchorPlacement.counts`; the model is not asked."""
        return self._kept(self.candidates(batch, horizon)[1])

    def _kept(self, mask: BatchAnchor) -> torch.Tensor:
        # In whole numbers: a share times a count is rounded to a hair, and rounded up.
        return (mask.sum(1).double() * self.share - 1e-9).ceil().long()

    @torch.no_grad()
    def _surprise(
        self, batch: SequenceBatch, anchors: BatchAnchor, mask: BatchAnchor, horizon: int
    ) -> BatchAnchor:
        scores = -self.network.score_sequences(batch).float()
        _, real = gather_continuations(batch, anchors, mask, horizon)
        steps = torch.arange(horizon, device=anchors.device)
        places = (anchors.unsqueeze(-1) + steps).clamp(max=scores.shape[1] - 1)
        nats = scores.gather(1, places.flatten(1)).view_as(places)
        return torch.where(real, nats, 0).sum(-1) / real.sum(-1).clamp(min=1)
