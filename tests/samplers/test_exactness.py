"""Whole completions are distributed as their enumerated probabilities say."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor

from ebmlm.distribution import Categorical, TokenDistribution
from ebmlm.language_model import LanguageModel
from ebmlm.rollouts import SequenceBatch
from ebmlm.testing import TabularLanguageModel, all_completions
from ebmlm.testing.multinomial import multinomial_p_bound
from ebmlm.transformers_model import TransformersLanguageModel
from tests.helpers import (
    DISTRIBUTIONS,
    draw,
    naive_log_probs,
    plain_logits,
    raw_model,
    seeded,
    table_logits,
)


@pytest.mark.parametrize("ends", [(), (1,)])
@pytest.mark.parametrize("name", ["plain", "cold", "nucleus"])
@pytest.mark.parametrize("engine", ["table", "llama"])
def test_completions_are_distributed_as_enumerated(
    engine: str, name: str, ends: tuple[int, ...]
) -> None:
    """A multinomial test of 4000 whole completions at each of two anchors, and of pairs of
    samples of one anchor, at a false-alarm rate of 1e-7 each; the seed is fixed."""
    model: LanguageModel
    if engine == "table":
        model = table = TabularLanguageModel(3, 4, end_tokens=ends, generator=seeded(0))
        next_logits: Callable[[list[int]], Tensor] = partial(table_logits, table)
    else:
        raw = raw_model(vocab_size=3)
        model = TransformersLanguageModel(copy.deepcopy(raw), ends)
        next_logits = partial(plain_logits, raw)
    text, rows, horizon = [0, 2, 1, 1, 2, 0, 2, 1], 20, 2
    batch = SequenceBatch.of(torch.tensor([text]).repeat(rows, 1))
    rollouts = draw(
        model,
        batch,
        DISTRIBUTIONS[name],
        samples=200,
        horizon=horizon,
        stride=3,
        context=2,
        seed=11,
    )
    listed = all_completions(3, horizon, ends)
    codes = (listed * torch.tensor([3, 1])).sum(-1)
    for place, anchor in enumerate(rollouts.anchors[0].tolist()[:2]):
        exact = partial(_probabilities, next_logits, text[:anchor], listed, ends)
        probabilities = exact(DISTRIBUTIONS[name])
        assert probabilities.sum() == pytest.approx(1)
        drawn = (rollouts.completions[:, place] * torch.tensor([3, 1])).sum(-1)
        counts = (drawn.flatten().unsqueeze(1) == codes).sum(0)
        assert counts.sum() == rows * 200
        assert multinomial_p_bound(counts, probabilities) > 1e-7
        # Samples of one anchor are independent of each other.
        first, second = drawn[:, 0::2].reshape(-1, 1, 1), drawn[:, 1::2].reshape(-1, 1, 1)
        pairs = ((first == codes.unsqueeze(1)) & (second == codes)).sum(0)
        joint = probabilities.unsqueeze(1) * probabilities
        assert multinomial_p_bound(pairs.flatten(), joint.flatten()) > 1e-7
        # The test can tell: a distribution that is a little hotter is refused.
        assert multinomial_p_bound(counts, exact(Categorical(1.5))) < 1e-7


def _probabilities(
    next_logits: Callable[[list[int]], Tensor],
    prefix: list[int],
    listed: Tensor,
    ends: tuple[int, ...],
    distribution: TokenDistribution,
) -> Tensor:
    """Probability (completion,) of each listed completion, token by token."""
    found = []
    for completion in listed.tolist():
        context, log_prob = list(prefix), 0.0
        for token in completion:
            log_prob += naive_log_probs(next_logits(context), distribution)[token]
            context.append(token)
            if token in ends:
                break
        found.append(math.exp(log_prob))
    return torch.tensor(found, dtype=torch.float64)
