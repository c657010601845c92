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

__all__ = [
    "Agreement",
    "CountSketch",
    "SignalToNoise",
    "agreement",
    "gradient_sketches",
    "jackknife",
    "signal_to_noise",
]


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


@dataclass(frozen=True)
class Agreement:
    """Of two expected gradients, from estimates of both on the same batches.

    Attributes:
        cosine: between them, without the noise that estimates have in common; not a number where
            either has no signal.
        cosine_error: its standard error, by the jackknife over batches.
        length_ratio: length of the first by length of the second; not a number likewise.
        length_ratio_error: its standard error, likewise.
    """

    cosine: float
    cosine_error: float
    length_ratio: float
    length_ratio_error: float


class CountSketch:
    """Folds the gradients of parameters, with random signs, into a vector of ``width`` numbers.

    Signs are drawn on the CPU, so that they are the same wherever the parameters are, and kept
    beside the parameters, a byte each.

    Args:
        parameters: whose gradients.
        width: numbers a sketch has.
        seed: of the signs.
    """

    def __init__(
        self, parameters: Sequence[nn.Parameter], width: int = 1 << 20, seed: int = 0
    ) -> None:
        self.parameters = tuple(parameters)
        self.width = width
        generator = torch.Generator().manual_seed(seed)
        self._signs = [
            (2 * _bits(parameter.numel(), generator) - 1).to(parameter.device)
            for parameter in self.parameters
        ]

    def __call__(self) -> Row:
        """Return the sketch (feature,) of the gradients that the parameters hold now, on the CPU.

        A parameter without a gradient counts as zero.
        """
        sketches: dict[torch.device, Tensor] = {}
        place = 0
        for parameter, signs in zip(self.parameters, self._signs, strict=True):
            if parameter.grad is not None:
                values = parameter.grad.detach().flatten().float() * signs
                start = place % self.width
                padding = (start, -(start + len(values)) % self.width)
                folded = nn.functional.pad(values, padding).view(-1, self.width).sum(0)
                before = sketches.get(folded.device)
                sketches[folded.device] = folded if before is None else before + folded
            place += parameter.numel()
        return sum((one.cpu() for one in sketches.values()), torch.zeros(self.width))

    def clear(self) -> None:
        """Drop the gradients that the parameters hold."""
        for parameter in self.parameters:
            parameter.grad = None


def _bits(count: int, generator: torch.Generator) -> Tensor:
    return torch.randint(2, (count,), generator=generator, dtype=torch.int8)


def gradient_sketches(
    objective: Objective,
    model: LanguageModel,
    parameters: Sequence[nn.Parameter],
    batches: Iterable[SequenceBatch],
    *,
    width: int = 1 << 20,
    seed: int = 0,
    sketch: CountSketch | None = None,
    draws: int | None = None,
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
        sketch: of these parameters, in place of a new one of ``width`` and ``seed``: its signs need
            not be drawn anew for each objective.
        draws: seed of the draws alone, to draw the same batches again; ``seed`` by default.

    Raises:
        UserError: for fewer than two batches.
    """
    sketch = CountSketch(parameters, width, seed) if sketch is None else sketch
    drawn = seed if draws is None else draws
    sketches = []
    for number, batch in enumerate(batches):
        sketch.clear()
        generator = torch.Generator().manual_seed(drawn * 1_000_003 + number)
        objective.loss(model, batch, generator=generator).loss.backward()
        sketches.append(sketch())
    sketch.clear()
    if len(sketches) < 2:
        raise UserError(f"{len(sketches)} batches: noise is what differs between at least 2")
    return torch.stack(sketches)


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
    return SignalToNoise(signal, noise, _ratio(signal, noise), jackknife(left_out), count)


def agreement(left: RowFeature, right: RowFeature) -> Agreement:
    """Compare two expected gradients by sketches (row, feature) of both, row by row of one batch.

    Inner products are taken between different batches only: two estimates on one batch share
    noise, and the length of a noisy mean is mostly noise.

    Raises:
        UserError: for fewer than three rows, or another number of each.
    """
    count = len(left)
    if count < 3 or len(right) != count:
        raise UserError(
            f"{count} and {len(right)} gradients: give at least 3, and as many of either"
        )
    both = torch.cat([left, right]).double()
    gram = (both @ both.mT).view(2, count, 2, count).transpose(1, 2)
    kept = [torch.arange(count) != row for row in range(count)]
    left_out = torch.tensor(
        [_compared(gram[:, :, rows][..., rows]) for rows in kept], dtype=torch.float64
    )
    cosine, ratio = _compared(gram)
    return Agreement(cosine, jackknife(left_out[:, 0]), ratio, jackknife(left_out[:, 1]))


def _compared(gram: Tensor) -> tuple[float, float]:
    """Cosine and ratio of lengths, of the products (left or right, left or right, row, row)."""
    count = gram.shape[-1]
    between = gram.sum((-1, -2)) - gram.diagonal(dim1=-2, dim2=-1).sum(-1)
    (first, inner), (_, second) = (between / (count * (count - 1))).tolist()
    if first <= 0 or second <= 0:
        return float("nan"), float("nan")
    return inner / (first * second) ** 0.5, (first / second) ** 0.5


def jackknife(left_out: Tensor) -> float:
    """Standard error of what has these values (row,) without each row in turn (Tukey 1958)."""
    count = len(left_out)
    return float(((count - 1) / count * (left_out - left_out.mean()).square().sum()).sqrt())


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
