"""The head in chunks against the head at once."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from ebmlm import heads
from ebmlm.distribution import Categorical, TokenDistribution
from ebmlm.heads import draw_rows, score_rows
from tests.helpers import DISTRIBUTIONS, seeded

ROWS, WIDTH, VOCABULARY = 2 * heads._ROWS + 3, 5, 11


class Head(nn.Linear):
    """A head that remembers how many rows of logits it was asked for at once."""

    def __init__(self, dtype: torch.dtype = torch.float64) -> None:
        super().__init__(WIDTH, VOCABULARY, dtype=dtype)
        with torch.no_grad():
            self.weight.copy_(torch.randn(self.weight.shape, generator=seeded(1)))
            self.bias.copy_(torch.randn(self.bias.shape, generator=seeded(2)))
        self.most = 0

    def forward(self, states: Tensor) -> Tensor:
        self.most = max(self.most, len(states))
        return super().forward(states)


def _rows(rows: int = ROWS) -> tuple[Tensor, Tensor]:
    states = torch.randn(rows, WIDTH, generator=seeded(3), dtype=torch.float64)
    return states, torch.randint(VOCABULARY, (rows,), generator=seeded(4))


@pytest.mark.parametrize("distribution", DISTRIBUTIONS.values(), ids=DISTRIBUTIONS)
def test_chunks_equal_the_whole(distribution: TokenDistribution) -> None:
    head = Head()
    states, tokens = _rows()
    states.requires_grad_(True)
    weights = torch.randn(ROWS, generator=seeded(5), dtype=torch.float64)

    def gradients(scored: Tensor) -> tuple[Tensor, ...]:
        return torch.autograd.grad((scored * weights).sum(), (states, head.weight, head.bias))

    whole = distribution.log_prob(head(states), tokens)
    expected = gradients(whole)
    head.most = 0
    scored = score_rows(head, states, tokens, distribution)
    torch.testing.assert_close(scored, whole)
    torch.testing.assert_close(gradients(scored), expected)
    assert 0 < head.most <= heads._ROWS
    with torch.no_grad():
        torch.testing.assert_close(score_rows(head, states, tokens, distribution), whole.detach())


def test_logits_are_recomputed_and_not_kept() -> None:
    head = Head()
    states, tokens = _rows()
    states.requires_grad_(True)
    kept: list[int] = []

    def remember(tensor: Tensor) -> Tensor:
        kept.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(remember, lambda tensor: tensor):
        score_rows(head, states, tokens, Categorical())
    assert max(kept, default=0) < ROWS * VOCABULARY


def test_no_rows_still_have_a_graph() -> None:
    states, tokens = _rows(0)
    states.requires_grad_(True)
    head = Head()
    scored = score_rows(head, states, tokens, Categorical())
    assert scored.shape == (0,)
    scored.sum().backward()
    assert states.grad is not None
    # Another process may have rows for this head: it waits for a gradient from every process.
    assert head.weight.grad is not None
    assert (head.weight.grad == 0).all()


@pytest.mark.parametrize("distribution", DISTRIBUTIONS.values(), ids=DISTRIBUTIONS)
def test_drawing_is_the_distribution_of_the_logits(distribution: TokenDistribution) -> None:
    head = Head()
    states, _ = _rows()
    uniforms = torch.rand(ROWS, generator=seeded(6), dtype=torch.float64)
    with torch.no_grad():
        logits = head(states)
        head.most = 0
        tokens, log_probs = draw_rows(head, states, distribution, uniforms)
        assert torch.equal(tokens, distribution.sample(logits, uniforms))
        torch.testing.assert_close(log_probs, score_rows(head, states, tokens, distribution))
    assert 0 < head.most <= heads._ROWS


def test_half_precision_logits_are_scored_in_float32() -> None:
    head = Head(torch.bfloat16)
    states, tokens = _rows()
    states = states.bfloat16()
    with torch.no_grad():
        scored = score_rows(head, states, tokens, Categorical(0.6))
        _, recorded = draw_rows(head, states, Categorical(0.6), torch.zeros(ROWS).double())
        expected = Categorical(0.6).log_prob(head(states).float(), tokens)
    assert scored.dtype == recorded.dtype == torch.float32
    torch.testing.assert_close(scored, expected)
