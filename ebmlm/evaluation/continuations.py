"""A few continuations to read: what the model writes after held-out text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from ebmlm.data.collate import collate
from ebmlm.data.row import TextRow
from ebmlm.distribution import TokenDistribution
from ebmlm.language_model import LanguageModel
from ebmlm.rollouts import SequenceBatch
from ebmlm.samplers.anchors import GivenAnchors
from ebmlm.samplers.block_parallel import BlockParallelSampler

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["Continuation", "continuations"]


@dataclass(frozen=True)
class Continuation:
    """The end of a prompt, what the model wrote after it, and what really stands there."""

    prompt: str
    written: str
    real: str


def continuations(
    model: LanguageModel,
    tokeniser: PreTrainedTokenizerBase,
    rows: Sequence[TextRow],
    distribution: TokenDistribution,
    *,
    tokens: int = 32,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> list[Continuation]:
    """Continue each row by ``tokens`` tokens from where so many are left, always the same draws.

    Rows that are no longer than ``tokens`` are left out.
    """
    rows = [row for row in rows if len(row) > tokens]
    if not rows:
        return []
    batch = collate(rows)
    anchors = batch.sequence_mask.sum(1, keepdim=True) - tokens
    placed = SequenceBatch.of(
        batch.sequences, batch.sequence_mask, batch.documents, batch.ids, anchors
    ).to(device)
    sampler = BlockParallelSampler(GivenAnchors(), tokens, 1, distribution)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        rollouts = sampler.sample(model, placed, generator=generator).to("cpu")
    written = []
    for index, row in enumerate(rows):
        anchor = int(anchors[index])
        mask = rollouts.completion_mask[index, 0, 0]
        written.append(
            Continuation(
                prompt=_decoded(tokeniser, row.sequence[max(0, anchor - tokens) : anchor]),
                written=_decoded(tokeniser, rollouts.completions[index, 0, 0][mask]),
                real=_decoded(tokeniser, row.sequence[anchor:]),
            )
        )
    return written


def _decoded(tokeniser: PreTrainedTokenizerBase, tokens: torch.Tensor) -> str:
    return str(tokeniser.decode(tokens.tolist(), clean_up_tokenization_spaces=False))
