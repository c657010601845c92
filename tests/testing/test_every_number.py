"""Expectations over every combination of uniform numbers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ebmlm.errors import UserError
from ebmlm.rollouts import SequenceBatch
from ebmlm.samplers import AutoregressiveSampler, GivenAnchors
from ebmlm.samplers.randomness import given_uniforms, sequence_uniforms
from ebmlm.testing.every_number import WatchedTable, every_number


def _model() -> WatchedTable:
    model = WatchedTable(2, 1)
    with torch.no_grad():
        model.logits.copy_(torch.tensor([[2, 1], [1, 2], [2, 1]]).double().log())
    return model


def test_every_combination_is_run_once_and_tokens_have_their_probabilities() -> None:
    model = _model()
    source = AutoregressiveSampler(2, 1, anchors=GivenAnchors())

    def run(rows: int) -> Tensor:
        batch = SequenceBatch.of(torch.zeros(rows, 2).long(), anchors=torch.ones(rows, 1).long())
        drawn = source.sample(model, batch).completions[:, 0, 0]
        other = (sequence_uniforms(batch.ids, (1,), None)[:, 0] * 5).long()
        return torch.cat([drawn, other.unsqueeze(-1)], -1)

    found = every_number(run, model, 3, 5)
    assert found.shape == (3 * 3 * 5, 3)
    strings, counts = found.unique(dim=0, return_counts=True)
    assert len(strings) == 4 * 5
    # p(00) = 2/3 2/3 and so on, each with every one of the five others.
    expected = {(0, 0): 4, (0, 1): 2, (1, 0): 1, (1, 1): 2}
    for string, count in zip(strings.tolist(), counts.tolist(), strict=True):
        assert count == expected[string[0], string[1]]


def test_what_cannot_be_listed_is_refused() -> None:
    model = _model()

    def many(rows: int) -> Tensor:
        return sequence_uniforms(torch.arange(rows), (20,), None)

    with pytest.raises(UserError, match="20 uniform numbers have over 60000"):
        every_number(many, model, 3, 6)
    with pytest.raises(UserError, match="0 uniform numbers have no"):
        every_number(lambda rows: rows, model, 3, 6)


def test_given_uniforms_end_with_their_block() -> None:
    ids = torch.arange(2)
    before = sequence_uniforms(ids, (3,), torch.Generator().manual_seed(0))
    with given_uniforms(lambda ids, shape: torch.zeros(len(ids), *shape)):
        assert not sequence_uniforms(ids, (3,), torch.Generator().manual_seed(0)).any()
    after = sequence_uniforms(ids, (3,), torch.Generator().manual_seed(0))
    assert torch.equal(before, after)
