"""Small parts that entries of the catalogue are made of."""

from __future__ import annotations

from typing import Any, cast

import torch

from ebmlm.energies import Head, Representation, ResidualEnergy
from ebmlm.features import (
    HiddenStateFeatures,
    Metric,
    MetricWhitening,
)
from ebmlm.rollouts import Rollouts
from ebmlm.testing.tabular import TabularLanguageModel
from ebmlm.texts import Texts

__all__ = [
    "length_of",
    "texts_of_digits",
    "tiny_features",
    "tiny_metric",
    "tiny_residual",
    "tiny_table",
]


def tiny_table(ends: tuple[int, ...] = ()) -> TabularLanguageModel:
    """A table of three tokens and four of context."""
    generator = torch.Generator().manual_seed(0)
    return TabularLanguageModel(3, 4, end_tokens=ends, hidden=3, generator=generator)


def tiny_features(**options: Any) -> HiddenStateFeatures:
    """Hidden states of :func:`tiny_table`."""
    return HiddenStateFeatures(tiny_table().frozen(), **options)


def tiny_metric() -> MetricWhitening:
    """A metric of nine random vectors, fitted beforehand."""
    generator = torch.Generator().manual_seed(2)
    return MetricWhitening(Metric.of(torch.randn(9, 9, generator=generator, dtype=torch.float64)))


def tiny_residual(representation: Representation, hidden: tuple[int, ...] = (3,)) -> ResidualEnergy:
    """A learned energy with weights as if it had learned something."""
    assert representation.width is not None
    head = Head(representation.width, hidden).double()
    generator = torch.Generator().manual_seed(4)
    weight = head.output.weight
    with torch.no_grad():
        weight.copy_(torch.randn(weight.shape, generator=generator, dtype=torch.float64))
    return ResidualEnergy(representation, head)


def length_of(rollouts: Rollouts) -> torch.Tensor:
    """Tokens of each rollout (batch, anchor, sample)."""
    return rollouts.token_mask().sum(-1).double()


class _Digits:
    """A tokeniser whose texts are the token ids."""

    def decode(self, tokens: list[int], **options: Any) -> str:
        return "".join(map(str, tokens))


def texts_of_digits() -> Texts:
    """Texts of a tokeniser whose tokens are digits."""
    return Texts(cast(Any, _Digits()), {})
