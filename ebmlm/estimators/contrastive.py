"""Losses that tell the real continuation from others: how a learned energy is trained.

docs/mathematics.md, "Learning an energy".
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from ebmlm.errors import UserError
from ebmlm.typing import BatchAnchor, BatchAnchorSample

__all__ = [
    "BinaryNCE",
    "Contrast",
    "Contrasted",
    "ContrastiveLoss",
    "EnergyMagnitude",
    "PhaseDifference",
    "RankingNCE",
    "ScaledLoss",
    "SumLoss",
    "discrimination",
]


@dataclass(frozen=True, eq=False)
class Contrast:
    """The real continuation of each context, and what it is compared with. All in nats.

    Attributes:
        real: (batch, anchor) energy of the real continuation, with gradient.
        negatives: (batch, anchor, sample) energies of the others, with gradient.
        real_ratio: (batch, anchor) ``log p_LM(y) - log q(y)``, where q is what the others were
            drawn from; zero where that is the language model itself.
        ratios: (batch, anchor, sample) the same of the others.
    """

    real: BatchAnchor
    negatives: BatchAnchorSample
    real_ratio: BatchAnchor
    ratios: BatchAnchorSample

    @property
    def real_log_weight(self) -> BatchAnchor:
        """``log p_LM(y) exp(-E(y)) / q(y)`` (batch, anchor) of the real continuation."""
        return self.real_ratio.to(self.real.dtype) - self.real

    @property
    def log_weights(self) -> BatchAnchorSample:
        """The same (batch, anchor, sample) of the others."""
        return self.ratios.to(self.negatives.dtype) - self.negatives

    @property
    def samples(self) -> int:
        """Others per anchor, N."""
        return int(self.negatives.shape[-1])


@dataclass(frozen=True, eq=False)
class Contrasted:
    """What a contrastive loss found at each anchor.

    Attributes:
        losses: (batch, anchor) with gradient; the objective takes the mean over valid anchors.
        metrics: named measurements (batch, anchor) for reporting, without gradient.
    """

    losses: BatchAnchor
    metrics: Mapping[str, BatchAnchor] = field(default_factory=dict)


class ContrastiveLoss(ABC):
    """Answers one question: how do energies of real and other completions move the energy?

    Losses add and scale: ``BinaryNCE() + 0.01 * EnergyMagnitude()``.
    """

    @abstractmethod
    def __call__(self, contrast: Contrast) -> Contrasted:
        """Return the loss at each anchor."""

    def __add__(self, other: ContrastiveLoss) -> ContrastiveLoss:
        return SumLoss([self, other])

    def __mul__(self, factor: float) -> ContrastiveLoss:
        return ScaledLoss(self, factor)

    __rmul__ = __mul__


class SumLoss(ContrastiveLoss):
    """The sum of losses."""

    def __init__(self, losses: list[ContrastiveLoss]) -> None:
        if not losses:
            raise ValueError("a sum of no losses: give at least one")
        self.losses = tuple(losses)

    def __call__(self, contrast: Contrast) -> Contrasted:
        """See :meth:`ContrastiveLoss.__call__`."""
        found = [loss(contrast) for loss in self.losses]
        metrics = {name: value for one in found for name, value in one.metrics.items()}
        return Contrasted(torch.stack([one.losses for one in found]).sum(0), metrics)


class ScaledLoss(ContrastiveLoss):
    """A loss times a number; its metrics keep their own scale."""

    def __init__(self, loss: ContrastiveLoss, factor: float) -> None:
        self.loss = loss
        self.factor = factor

    def __call__(self, contrast: Contrast) -> Contrasted:
        """See :meth:`ContrastiveLoss.__call__`."""
        found = self.loss(contrast)
        return Contrasted(found.losses * self.factor, found.metrics)


class BinaryNCE(ContrastiveLoss):
    """Real or noise, each by itself: noise-contrastive estimation.

    ``-log sigmoid(s(y) - log N) - sum_j log sigmoid(log N - s(y_j))`` with the log-weight
    ``s = log p_LM - log q - E`` and N noise samples (Gutmann and Hyvarinen 2010, 2012). Its
    minimiser is normalised: ``p_LM exp(-E)`` is the data's distribution at every context, with no
    partition function left. Reports ``nce_loss``, and
    ``nce_accuracy`` and ``ranking_accuracy`` of :func:`discrimination`.
    """

    def __call__(self, contrast: Contrast) -> Contrasted:
        """See :meth:`ContrastiveLoss.__call__`."""
        prior = math.log(contrast.samples)
        noise = logsigmoid(prior - contrast.log_weights).sum(-1)
        losses = -logsigmoid(contrast.real_log_weight - prior) - noise
        return Contrasted(losses, {"nce_loss": losses.detach(), **discrimination(contrast)})


class RankingNCE(ContrastiveLoss):
    """Which of N + 1 is real: the ranking form (Ma and Collins 2018), also InfoNCE.

    ``-log exp(s(y)) / (exp(s(y)) + sum_j exp(s(y_j)))``. What depends on the context alone is left
    free, so that log Z(c) has to be estimated afterwards. Reports ``ranking_loss``, and
    :func:`discrimination`.
    """

    def __call__(self, contrast: Contrast) -> Contrasted:
        """See :meth:`ContrastiveLoss.__call__`."""
        real = contrast.real_log_weight
        every = torch.cat([real.unsqueeze(-1), contrast.log_weights], -1)
        losses = every.logsumexp(-1) - real
        return Contrasted(losses, {"ranking_loss": losses.detach(), **discrimination(contrast)})


class PhaseDifference(ContrastiveLoss):
    """``E(y) - mean_j E(y_j)``: the likelihood's gradient where the others follow the model.

    From chains that start at the data and take a few steps it is contrastive divergence (Hinton
    2002), from chains that go on it is persistent contrastive divergence (Tieleman 2008). Its value
    means nothing by itself. Reports ``phase_difference``.
    """

    def __call__(self, contrast: Contrast) -> Contrasted:
        """See :meth:`ContrastiveLoss.__call__`."""
        losses = contrast.real - contrast.negatives.mean(-1)
        return Contrasted(losses, {"phase_difference": losses.detach()})


class EnergyMagnitude(ContrastiveLoss):
    """The mean square of all energies, which keeps them small (Du and Mordatch 2019).

    The real continuation counts as much as the others together. Reports ``energy_square``.

    Args:
        coefficient: of the mean square, in 1 / nats^2.

    Raises:
        UserError: for a coefficient that is negative or not finite.
    """

    def __init__(self, coefficient: float = 1.0) -> None:
        if not 0 <= coefficient < float("inf"):
            raise UserError(f"coefficient is {coefficient}: it must be finite and at least 0")
        self.coefficient = coefficient

    def __call__(self, contrast: Contrast) -> Contrasted:
        """See :meth:`ContrastiveLoss.__call__`."""
        squares = (contrast.real.square() + contrast.negatives.square().mean(-1)) / 2
        return Contrasted(self.coefficient * squares, {"energy_square": squares.detach()})


@torch.no_grad()
def discrimination(contrast: Contrast) -> dict[str, BatchAnchor]:
    """How well the log-weights tell real from noise, (batch, anchor) each; chance is one half.

    - ``nce_accuracy``: share classified rightly by the sign of the log-weight, real and noise
      counting the same.
    - ``ranking_accuracy``: share of the noise with a lower log-weight than the real continuation.

    Ties count half; so does what differs by rounding alone, as a noise sample that says what the
    real text says.
    """
    real = contrast.real_log_weight.unsqueeze(-1)
    noise = contrast.log_weights
    right = (_step(real).squeeze(-1) + _step(-noise).mean(-1)) / 2
    return {"nce_accuracy": right, "ranking_accuracy": _step(real - noise, real).mean(-1)}


def _step(values: Tensor, size: Tensor | float = 0.0) -> Tensor:
    """1 above zero, 0 below, one half within rounding of numbers of that size."""
    rounding = 64 * torch.finfo(values.dtype).eps * (1 + torch.as_tensor(size).abs())
    return torch.where(values.abs() <= rounding, 0.5, (values > 0).to(values.dtype))
