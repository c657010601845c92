"""How much of a gradient is signal: the same gradient estimated on many batches.

Gradients of a network are too long to keep many of. Each is folded, with random signs, into a
vector of a million numbers, under which inner products are kept in expectation (a count sketch:
Charikar, Chen and Farach-Colton 2002), to within a thousandth of the lengths' product.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ebmlm.errors import UserError
from ebmlm.language_model import LanguageModel
from ebmlm.objectives.base import Objective
from ebmlm.rollouts import SequenceBatch
from ebmlm.typing import Row, RowFeature

__all__ = ["SignalToNoise", "gradient_sketches", "signal_to_noise"]


@dataclass(frozen=True)
class SignalToNoise:
    """Of the gradient of one batch.

    Attributes:
        signal: squared length of the expected gradient, estimated without bias (it may come out
            below zero where there is little of it).
        noise: trace of the gradient's covariance.
        ratio: signal by noise; with m batches a step the step's ratio is m times that.
        standard_error: of the ratio, by the jackknife over batches.
        batches: how many there were.
    """

    signal: float
    noise: float
    ratio: float
    standard_error: float
    batches: int


def gradient_sketches(
    objective: Objective,
    model: LanguageModel,
    parameters: Sequence[nn.Parameter],
    batches: Iterable[SequenceBatch],
    *,
    width: int = 1 << 20,
    seed: int = 0,
) -> RowFeature:
    """Return a sketch (row, feature) of the objective's gradient on each batch; nothing is trained.

    Draws depend on ``seed``, the batch's number and its ids, so that different objectives are
    compared on the same rollouts, and sketches of one ``seed`` on the same signs.

    Args:
        objective: whose gradient; running states are not moved on.
        model: where.
        parameters: with respect to what; their gradients are zero afterwards.
        batches: at least two.
        width: numbers a sketch has.
        seed: of draws and signs.
    """
    sketches = []
    for number, batch in enumerate(batches):
        for parameter in parameters:
            parameter.grad = None
        generator = torch.Generator().manual_seed(seed * 1_000_003 + number)
        objective.loss(model, batch, generator=generator).loss.backward()
        sketches.append(_sketch(parameters, width, seed))
    for parameter in parameters:
        parameter.grad = None
    if len(sketches) < 2:
        raise UserError(f"{len(sketches)} batches: noise is what differs between at least 2")
    return torch.stack(sketches)


def _sketch(parameters: Sequence[nn.Parameter], width: int, seed: int) -> Row:
    generator = torch.Generator().manual_seed(seed)
    sketch = torch.zeros(width)
    place = 0
    for parameter in parameters:
        signs = torch.randint(2, (parameter.numel(),), generator=generator, dtype=torch.int8)
        if parameter.grad is None:
            place += parameter.numel()
            continue
        values = parameter.grad.detach().flatten().float().cpu() * (2 * signs - 1)
        start = place % width
        folded = nn.functional.pad(values, (start, -(start + len(values)) % width))
        sketch += folded.view(-1, width).sum(0)
        place += parameter.numel()
    return sketch


def signal_to_noise(sketches: RowFeature) -> SignalToNoise:
    """Return signal and noise from gradients (row, feature), or sketches of them, of like batches.

    With mean g of n gradients: noise ``sum |g_i - g|^2 / (n - 1)``, signal ``|g|^2 - noise / n``.

    Raises:
        UserError: for fewer than three, of which no standard error can be told.
    """
    count = len(sketches)
    if count < 3:
        raise UserError(f"{count} gradients: the jackknife needs at least 3")
    gram = sketches.double() @ sketches.double().mT
    signal, noise = _moments(gram)
    left_out = torch.tensor([_ratio(*_moments(_without(gram, row))) for row in range(count)])
    spread = (count - 1) / count * (left_out - left_out.mean()).square().sum()
    return SignalToNoise(signal, noise, _ratio(signal, noise), float(spread.sqrt()), count)


def _moments(gram: Tensor) -> tuple[float, float]:
    count = len(gram)
    mean = float(gram.mean())
    noise = (float(gram.trace()) - count * mean) / (count - 1)
    return mean - noise / count, noise


def _ratio(signal: float, noise: float) -> float:
    return signal / noise if noise > 0 else float("inf")


def _without(gram: Tensor, row: int) -> Tensor:
    kept = torch.arange(len(gram)) != row
    return gram[kept][:, kept]
