"""What every part of limits.py measures on: a starting model, its data, rollouts drawn there."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from rich.console import Console

from ebmlm.data import PreparedData, collate
from ebmlm.data.row import TextRows
from ebmlm.errors import UserError
from ebmlm.evaluation.measurement import Measurement
from ebmlm.evaluation.options import CompletionOptions
from ebmlm.rollouts import Rollouts, SequenceBatch
from ebmlm.samplers import AnchorPlacement, CompletionAnchors, Sampler, StridedAnchors
from ebmlm.training.precision import Precision
from ebmlm.transformers_model import TransformersLanguageModel

CONTEXT = 8
"""Tokens before the first anchor of raw text."""


@dataclass(frozen=True, eq=False)
class Start:
    """A task and the model that every arm starts from.

    Attributes:
        policy: the model.
        network: the same, frozen, for features.
        text: the task's rows.
        completions: how the task measures whole completions; None where it does not.
        batches: gradients of each setting.
        rows: sequences of each of these.
        branches: rollouts drawn at once; bounds memory and changes no draw.
        seed: of draws, and of which rows.
        console: where tables go.
    """

    policy: TransformersLanguageModel
    network: TransformersLanguageModel
    text: PreparedData
    completions: CompletionOptions | None
    batches: int
    rows: int
    branches: int
    seed: int
    console: Console

    @property
    def pairs(self) -> bool:
        """Whether the rows are prompts and completions, and not raw text."""
        return self.text.validation[0].targets is not None

    def anchors(self, text_stride: int, pair_stride: int) -> AnchorPlacement:
        """Anchors in raw text, or in completions."""
        if self.pairs:
            return CompletionAnchors(pair_stride)
        return StridedAnchors(text_stride, CONTEXT)

    def autocast(self) -> torch.autocast:
        """Passes in bfloat16, but on a processor that has no instructions for it."""
        device = self.policy.device.type
        enabled = device != "cpu" or Precision.auto.uses_bfloat16()
        return torch.autocast(device, torch.bfloat16, enabled=enabled)

    def training_batch(self, number: int, skipped: int = 0) -> SequenceBatch:
        """Rows to train on, in an order of their own, as one batch.

        Raises:
            UserError: where there are fewer.
        """
        if skipped + number > len(self.text.train):
            raise UserError(
                f"{len(self.text.train)} training rows: {skipped + number} are looked at; lower"
                " --batches or --rows, or have more data"
            )
        order = torch.randperm(
            len(self.text.train), generator=torch.Generator().manual_seed(self.seed)
        )
        return self._batch(self.text.train, order[skipped : skipped + number].tolist())

    def held_out_batch(self) -> SequenceBatch:
        """As many held-out rows as all gradients of a setting see, evenly spread, as one batch."""
        there = len(self.text.validation)
        number = min(self.batches * self.rows, there)
        return self._batch(
            self.text.validation, [place * there // number for place in range(number)]
        )

    def _batch(self, rows: TextRows, places: Sequence[int]) -> SequenceBatch:
        return collate([rows[place] for place in places]).to(self.policy.device)

    @torch.no_grad()
    def draw(self, sampler: Sampler, batch: SequenceBatch, multiple: int = 1) -> Iterator[Rollouts]:
        """Rollouts of all rows, in pieces of a multiple of so many rows."""
        anchors, _ = sampler.anchors(batch, sampler.horizon)
        at_once = max(1, self.branches // (anchors.shape[1] * sampler.samples * multiple))
        step = at_once * multiple
        for first in range(0, len(batch), step):
            with self.autocast():
                generator = torch.Generator().manual_seed(self.seed)
                piece = batch.rows(first, min(first + step, len(batch)))
                yield sampler.sample(self.policy, piece, generator=generator)


def cut(rollouts: Rollouts, horizon: int, samples: int | None = None) -> Rollouts:
    """The first tokens of rollouts and references, and of the first samples alone.

    Tokens are drawn one after the other, so these are rollouts of a shorter horizon.
    """

    def shorter(values: torch.Tensor) -> torch.Tensor:
        return values[:, :, :samples, :horizon]

    return dataclasses.replace(
        rollouts,
        completions=shorter(rollouts.completions),
        completion_mask=shorter(rollouts.completion_mask),
        log_probs=shorter(rollouts.log_probs),
        references=rollouts.references[..., :horizon],
        reference_mask=rollouts.reference_mask[..., :horizon],
    )


def over_anchors(pieces: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> dict[str, float | None]:
    """Mean over anchors of values (row, anchor) where a mask is true, with its error over rows."""
    totals, counts = [], []
    for values, mask in pieces:
        known = mask & ~values.isnan()
        totals.append(torch.where(known, values.double(), 0).sum(1).cpu())
        counts.append(known.sum(1).cpu())
    found = Measurement(torch.cat(totals), torch.cat(counts))
    anchors = int(found.counts.sum())
    return {
        "mean": found.mean if anchors else None,
        "standard_error": found.standard_error if found.items > 1 else None,
        "anchors": anchors,
        "items": found.items,
    }
