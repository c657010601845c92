"""Where a gradient's noise comes from: the text of a batch, or what is drawn for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ebmlm.errors import UserError
from ebmlm.evaluation.gradient_noise import jackknife
from ebmlm.typing import RowFeature

__all__ = ["NoiseSources", "noise_sources"]


@dataclass(frozen=True)
class NoiseSources:
    """Where the noise of one batch's gradient comes from.

    Attributes:
        signal: squared length of the expected gradient, estimated without bias.
        text: variance of the gradient over batches of text, expected over what is drawn in each.
        draws: its mean variance over what is drawn, given the text: what more rollouts would lower.
        ratio: signal by both together.
        standard_error: of the ratio, by the jackknife over batches.
        batches: how many there were.
    """

    signal: float
    text: float
    draws: float
    ratio: float
    standard_error: float
    batches: int


def noise_sources(sketches: Sequence[RowFeature]) -> NoiseSources:
    """Return signal and noise from gradients (row, feature) of the same batches, drawn twice.

    With g_bi of draw b on batch i: ``g_1i . g_2j`` has the squared length of the expected gradient
    as its expectation, ``g_1i . g_2i`` the variance over texts on top of it, and ``|g_bi|^2`` that
    of what is drawn besides.

    Raises:
        UserError: for other than two draws, or fewer than three batches.
    """
    if len(sketches) != 2:
        raise UserError(f"{len(sketches)} draws of each batch: two tell text and draws apart")
    first, second = (one.double() for one in sketches)
    count = len(first)
    if count < 3:
        raise UserError(f"{count} batches: give the same ones, at least 3, twice")
    grams = first @ first.mT, second @ second.mT, first @ second.mT
    signal, text, draws = _sources(*grams)
    kept = [torch.arange(count) != row for row in range(count)]
    left_out = [_ratio(*_sources(*(gram[rows][:, rows] for gram in grams))) for rows in kept]
    return NoiseSources(
        signal,
        text,
        draws,
        _ratio(signal, text, draws),
        jackknife(torch.tensor(left_out, dtype=torch.float64)),
        count,
    )


def _ratio(signal: float, text: float, draws: float) -> float:
    return signal / (text + draws) if text + draws > 0 else float("inf")


def _sources(first: Tensor, second: Tensor, across: Tensor) -> tuple[float, float, float]:
    count = len(first)
    signal = sum(_apart(gram) for gram in (first, second, across)) / 3
    same_text = float(across.trace()) / count
    same_draw = float(first.trace() + second.trace()) / (2 * count)
    return signal, same_text - signal, same_draw - same_text


def _apart(gram: Tensor) -> float:
    """Mean of what stands off the diagonal."""
    count = len(gram)
    return float(gram.sum() - gram.trace()) / (count * (count - 1))
