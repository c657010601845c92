"""Counterexamples as a person reads them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ebmlm.rollouts import Rollouts, SequenceBatch

__all__ = ["Readable", "describe_batch", "describe_rollouts", "largest_gap", "numbers"]


class Readable:
    """Shown by Hypothesis, when a test fails, as its ``__str__`` says."""

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(str(self))


def numbers(values: Tensor) -> str:
    """A tensor's values in nested brackets, four digits each."""
    if values.ndim == 0:
        value = values.item()
        return str(value) if isinstance(value, bool | int) else f"{value:.4g}"
    return "[" + " ".join(numbers(part) for part in values.detach()) + "]"


def _text(tokens: Tensor, mask: Tensor) -> str:
    pairs = zip(tokens.tolist(), mask.tolist(), strict=True)
    return " ".join(str(token) if real else "." for token, real in pairs)


def describe_batch(batch: SequenceBatch) -> str:
    """One line a sequence: tokens, a dot for padding, a bar where a document begins."""
    lines = []
    starts = batch.document_starts()
    for row in range(len(batch)):
        words = []
        for place, token in enumerate(batch.sequences[row].tolist()):
            real = bool(batch.sequence_mask[row, place])
            begins = real and place > 0 and int(starts[row, place]) == place
            words.append(("| " if begins else "") + (str(token) if real else "."))
        lines.append(f"sequence {row} (id {int(batch.ids[row])}): {' '.join(words)}")
    return "\n".join(lines)


def describe_rollouts(rollouts: Rollouts) -> str:
    """The sequences, then each valid anchor with its rollouts; a dot after the end."""
    lines = [describe_batch(rollouts.batch)]
    rows, places = rollouts.anchors.shape
    for row in range(rows):
        for place in range(places):
            anchor = int(rollouts.anchors[row, place])
            if not rollouts.anchor_mask[row, place]:
                lines.append(f"  anchor {anchor} of sequence {row}: invalid")
                continue
            samples = zip(
                rollouts.completions[row, place], rollouts.completion_mask[row, place], strict=True
            )
            texts = "; ".join(_text(tokens, mask) for tokens, mask in samples)
            real = _text(rollouts.references[row, place], rollouts.reference_mask[row, place])
            lines.append(f"  anchor {anchor} of sequence {row}: rollouts {texts}; text {real}")
    lines.append(f"  drawn from {rollouts.distribution}")
    return "\n".join(lines)


def largest_gap(found: Tensor, expected: Tensor) -> float:
    """Largest absolute difference; infinite where only one of the two is a number."""
    if found.numel() == 0:
        return 0.0
    same = (found == expected) | (found.isnan() & expected.isnan())
    gap = torch.where(same, 0, (found - expected).abs())
    return float(torch.where(gap.isnan(), torch.inf, gap).max())
