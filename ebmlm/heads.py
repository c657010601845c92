"""The language-model head in chunks: no (rows x vocabulary) float32 tensor ever exists whole.

Scoring recomputes each chunk's logits in the backward pass instead of keeping them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ebmlm.distribution import TokenDistribution
from ebmlm.typing import Row, RowFeature

__all__ = ["draw_rows", "score_rows"]

Head = Callable[[Tensor], Any]

# Rows whose logits exist at once: 256 x 49,152 in float32 are 50 MB.
_ROWS = 256


def _logits(head: Head, states: Tensor) -> Tensor:
    logits: Tensor = head(states)
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def score_rows(head: Head, states: RowFeature, tokens: Row, distribution: TokenDistribution) -> Row:
    """Log-probability (row,) in nats of ``tokens``, each given the state that predicts it."""

    def score(chunk: Tensor, targets: Tensor) -> Tensor:
        return distribution.log_prob(_logits(head, chunk), targets)

    if not len(tokens):
        # Through the head all the same, so that without targets every weight still has a gradient:
        # data-parallel processes wait for each other's.
        return _logits(head, states).sum(-1)
    if torch.is_grad_enabled():
        parts = [
            checkpoint(score, *rows, use_reentrant=False, preserve_rng_state=False)
            for rows in zip(states.split(_ROWS), tokens.split(_ROWS), strict=True)
        ]
    else:
        parts = [
            score(*rows) for rows in zip(states.split(_ROWS), tokens.split(_ROWS), strict=True)
        ]
    return torch.cat(parts)


def draw_rows(
    head: Head, states: RowFeature, distribution: TokenDistribution, uniforms: Row
) -> tuple[Row, Row]:
    """Draw one token per state; return the tokens and their log-probabilities in nats, (row,)."""
    tokens, log_probs = [], []
    for chunk, uniform in zip(states.split(_ROWS), uniforms.split(_ROWS), strict=True):
        logits = _logits(head, chunk)
        drawn, log_prob = distribution.draw(logits, uniform)
        tokens.append(drawn)
        log_probs.append(log_prob)
    return torch.cat(tokens), torch.cat(log_probs)
