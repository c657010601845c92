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
    "NoiseSources",
    "SignalToNoise",
    "expected_cosine",
    "gradient_sketches",
    "noise_sources",
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


def gradient_sketches(
    objective: Objective,
    model: LanguageModel,
    parameters: Sequence[nn.Parameter],
    batches: Iterable[SequenceBatch],
    *,
    width: int = 1 << 20,
    seed: int = 0,
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
        draws: of the draws alone, where the same batches are drawn again; ``seed`` by default.
    """
    sketches = []
    drawn = seed if draws is None else draws
    signs = _signs(parameters, seed)
    for number, batch in enumerate(batches):
        for parameter in parameters:
            parameter.grad = None
        generator = torch.Generator().manual_seed(drawn * 1_000_003 + number)
        objective.loss(model, batch, generator=generator).loss.backward()
        sketches.append(_sketch(parameters, width, signs))
    for parameter in parameters:
        parameter.grad = None
    if len(sketches) < 2:
        raise UserError(f"{len(sketches)} batches: noise is what differs between at least 2")
    return torch.stack(sketches).cpu()


def _signs(parameters: Sequence[nn.Parameter], seed: int) -> list[Tensor]:
    """A sign for every number of every parameter, drawn on the CPU: the same on any device."""
    generator = torch.Generator().manual_seed(seed)
    return [
        (2 * torch.randint(2, (one.numel(),), generator=generator, dtype=torch.int8) - 1).to(
            one.device
        )
        for one in parameters
    ]


def _sketch(parameters: Sequence[nn.Parameter], width: int, signs: Sequence[Tensor]) -> Row:
    sketch = torch.zeros(width, device=parameters[0].device)
    place = 0
    for parameter, own in zip(parameters, signs, strict=True):
        if parameter.grad is not None:
            values = parameter.grad.detach().flatten().float() * own
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
    left_out = []
    for row in range(count):
        a, b, c = _sources(*(_without(gram, row) for gram in grams))
        left_out.append(_ratio(a, b + c))
    ratios = torch.tensor(left_out)
    spread = (count - 1) / count * (ratios - ratios.mean()).square().sum()
    return NoiseSources(
        signal, text, draws, _ratio(signal, text + draws), float(spread.sqrt()), count
    )


def expected_cosine(left: Sequence[RowFeature], right: Sequence[RowFeature]) -> float:
    """Return the cosine between two expected gradients, from draws (row, feature) of each.

    Of products of different batches alone: neither the noise of a gradient nor what two of them
    have in common because they saw the same batch counts. Not a number where there is so much of it
    that a squared length comes out below zero.

    Args:
        left: gradients of one objective, of the same batches, once for each draw.
        right: of another one, on the same batches in the same order.
    """
    products = [
        sum(_apart(a.double() @ b.double().mT) for a in one for b in other)
        / (len(one) * len(other))
        for one, other in ((left, right), (left, left), (right, right))
    ]
    across, *lengths = products
    if min(lengths) <= 0:
        return float("nan")
    return across / (lengths[0] * lengths[1]) ** 0.5


def _apart(gram: Tensor) -> float:
    """Mean of what stands off the diagonal."""
    count = len(gram)
    return float(gram.sum() - gram.trace()) / (count * (count - 1))


def _sources(first: Tensor, second: Tensor, across: Tensor) -> tuple[float, float, float]:
    count = len(first)
    signal = sum(_apart(gram) for gram in (first, second, across)) / 3
    same_text = float(across.trace()) / count
    same_draw = float(first.trace() + second.trace()) / (2 * count)
    return signal, same_text - signal, same_draw - same_text


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
