"""Floors: what as many tokens cost in the plainest pass there is.

A floor runs the transformers model as it comes, over one row of as many tokens as trunk and
branches have, with causal attention and no tree; then the head on as many rows as need logits. It
computes nothing that is of use. What is as fast as its floor cannot be made much faster.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from ebmlm.benchmark.workload import Workload
from ebmlm.taps import Taps

__all__ = ["floor_features", "floor_rollouts", "floor_score"]

# Rows of which logits are held at once, as in the package.
_ROWS = 256


def floor_rollouts(workload: Workload, tokens: Tensor) -> Tensor:
    """A forward pass, the head on the rows that are drawn, and one pass over their logits.

    To draw a token from a distribution its probabilities have to add up to one: one exponential and
    one sum for every entry of the vocabulary.
    """
    with torch.no_grad():
        states = _body(workload, tokens)[0, -workload.sizes.rows :]
        head: Any = workload.model.head
        parts = [head(rows).float().logsumexp(-1) for rows in states.split(_ROWS)]
        return torch.cat(parts)


def floor_features(workload: Workload, tokens: Tensor) -> Tensor:
    """A forward pass through as many layers as the features need."""
    model = workload.network
    with torch.no_grad(), Taps(model.body, model.layer_count, [workload.deepest]) as taps:
        with taps.stopping():
            taps.last = model.body(input_ids=tokens, use_cache=False).last_hidden_state
        return taps[workload.deepest]


def floor_score(workload: Workload, tokens: Tensor) -> Tensor:
    """A forward and backward pass, with cross-entropy on the rows that are scored."""
    states = _body(workload, tokens)[0, -workload.sizes.rows :]
    head: Any = workload.model.head
    loss = cross_entropy(head(states).float(), tokens[0, -workload.sizes.rows :])
    loss.backward()
    workload.model.model.zero_grad()
    return loss.detach()


def _body(workload: Workload, tokens: Tensor) -> Tensor:
    output: Any = workload.model.body(input_ids=tokens, use_cache=False)
    states: Tensor = output.last_hidden_state
    return states
