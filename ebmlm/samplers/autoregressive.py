"""Whole completions after a prompt, all samples of it from one reading of the prompt."""

from __future__ import annotations

import torch

from ebmlm.distribution import Categorical, TokenDistribution
from ebmlm.language_model import LanguageModel
from ebmlm.layout import cut_to_prefixes
from ebmlm.rollouts import Rollouts, SequenceBatch, gather_continuations
from ebmlm.samplers.anchors import AnchorPlacement, PromptEnd
from ebmlm.samplers.base import Sampler
from ebmlm.samplers.drawing import check_sizes, draw_branches
from ebmlm.samplers.randomness import sequence_uniforms
from ebmlm.typing import BatchAnchor, BatchAnchorReference

__all__ = ["AutoregressiveSampler"]


class AutoregressiveSampler(Sampler):
    """Draws ``samples`` completions of up to ``horizon`` tokens after every prompt of a batch.

    A completion is over after any of the model's end tokens, and costs nothing from some steps
    later on. Of the text only what stands before the last anchor is read, once for all samples. The
    references are all that is left of each anchor's document, shorter or longer than the
    completions.

    Args:
        horizon: tokens of a completion at most, G.
        samples: completions per prompt, N.
        distribution: how a token is drawn from the model's logits.
        anchors: where completions start; by default where each prompt ends.

    Raises:
        UserError: for a horizon or a number of samples under 1; when called, for a horizon that
            goes past the model's longest position.
    """

    def __init__(
        self,
        horizon: int = 128,
        samples: int = 4,
        distribution: TokenDistribution | None = None,
        anchors: AnchorPlacement | None = None,
    ) -> None:
        check_sizes(horizon, samples)
        self.horizon = horizon
        self.samples = samples
        self.distribution: TokenDistribution = distribution or Categorical()
        self.anchors: AnchorPlacement = PromptEnd() if anchors is None else anchors

    def sample(
        self,
        model: LanguageModel,
        batch: SequenceBatch,
        *,
        generator: torch.Generator | None = None,
    ) -> Rollouts:
        """See :meth:`Sampler.sample`."""
        anchors, anchor_mask = self.anchors(batch, self.horizon)
        shape = (anchors.shape[1], self.samples, self.horizon)
        uniforms = sequence_uniforms(batch.ids, shape, generator)
        prefixes, places = cut_to_prefixes(batch, anchors, anchor_mask)
        drawn = draw_branches(model, prefixes, places, anchor_mask, self.distribution, uniforms)
        references, reference_mask = _whole_rest(batch, anchors, anchor_mask)
        return Rollouts(
            batch=batch,
            anchors=anchors,
            anchor_mask=anchor_mask,
            completions=drawn.completions,
            completion_mask=drawn.mask,
            references=references,
            reference_mask=reference_mask,
            log_probs=drawn.log_probs,
            distribution=self.distribution,
        )


def _whole_rest(
    batch: SequenceBatch, anchors: BatchAnchor, anchor_mask: BatchAnchor
) -> tuple[BatchAnchorReference, BatchAnchorReference]:
    """The real text from each anchor to its document's end, as wide as the longest of them."""
    length = batch.sequences.shape[1]
    first = int(torch.where(anchor_mask, anchors, length - 1).min())
    references, mask = gather_continuations(batch, anchors, anchor_mask, max(length - first, 1))
    longest = max(int(mask.sum(-1).max()), 1)
    return references[..., :longest], mask[..., :longest]
