"""The tabular model against reading its table by hand."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given

from ebmlm.distribution import Categorical
from ebmlm.errors import UserError
from ebmlm.rollouts import Rollouts, SequenceBatch
from ebmlm.testing import TabularLanguageModel
from ebmlm.testing.strategies import rollouts
from tests.helpers import (
    branches,
    document_start,
    draw,
    naive_log_probs,
    packed_batch,
    prefix_of,
    seeded,
    table_logits,
)


def _model(order: int = 3, **options: object) -> TabularLanguageModel:
    return TabularLanguageModel(5, order, generator=seeded(0), **options)  # type: ignore[arg-type]


@given(rollouts(5))
def test_scores_are_read_from_the_table(drawn: Rollouts) -> None:
    model = _model()
    with torch.no_grad():
        scoring = model.score(drawn, sequences=True)
    seen = torch.zeros_like(drawn.completion_mask)
    for row, place, number, tokens in branches(drawn):
        context = prefix_of(drawn.batch, row, int(drawn.anchors[row, place]))
        for step, token in enumerate(tokens):
            expected = naive_log_probs(table_logits(model, context), drawn.distribution)[token]
            found = float(scoring.completions[row, place, number, step])
            assert found == pytest.approx(expected, abs=1e-12)
            context = [*context, token]
            seen[row, place, number, step] = True
    assert (scoring.completions[~seen] == 0).all()
    assert scoring.sequences is not None
    targets = drawn.batch.target_mask()
    for row, place in targets.nonzero().tolist():
        context = drawn.sequences[row, document_start(drawn.batch, row, place) : place].tolist()
        log_probs = naive_log_probs(table_logits(model, context), Categorical())
        expected = log_probs[int(drawn.sequences[row, place])]
        assert float(scoring.sequences[row, place]) == pytest.approx(expected, abs=1e-12)
    assert (scoring.sequences[~targets] == 0).all()


def _state(model: TabularLanguageModel, context: list[int], layer: int) -> torch.Tensor:
    window = ([5] * model.order + context)[-model.order :]
    row = sum(token * 6**place for place, token in enumerate(window))
    return model.states[row, layer]


@given(rollouts(5))
def test_states_are_read_from_the_table(drawn: Rollouts) -> None:
    model = _model(layers=2)
    states = model.hidden_states(drawn, [0, 2])
    for row, place, number, tokens in branches(drawn):
        context = prefix_of(drawn.batch, row, int(drawn.anchors[row, place]))
        for step, token in enumerate(tokens):
            context = [*context, token]
            for index, layer in enumerate((0, 2)):
                found = states.branches[index][row, place, number, step]
                assert torch.equal(found, _state(model, context, layer))
    for row, place in drawn.sequence_mask.nonzero().tolist():
        start = document_start(drawn.batch, row, place)
        context = drawn.sequences[row, start : place + 1].tolist()
        assert torch.equal(states.trunk[1][row, place], _state(model, context, 2))


def test_a_short_order_forgets() -> None:
    model = _model(order=1)
    batch = SequenceBatch.of(torch.tensor([[0, 1, 2, 3], [4, 3, 2, 3]]))
    scored = model.score_sequences(batch)
    assert scored[0, 3] == scored[1, 3]
    assert scored[0, 1] != scored[1, 1]


def test_probabilities_of_all_sequences_add_up_to_one() -> None:
    model = TabularLanguageModel(2, 4, scale=2.0, generator=seeded(1))
    listed = torch.tensor(list(itertools.product([0], *[(0, 1)] * 4)))
    total = model.score_sequences(SequenceBatch.of(listed)).sum(-1).exp().sum()
    assert total.item() == pytest.approx(1, abs=1e-12)


def test_drawing_records_what_scoring_finds() -> None:
    model = _model(end_tokens=[2])
    for distribution in (Categorical(), Categorical(0.6), Categorical(0.8, top_p=0.7)):
        drawn = draw(model, packed_batch(vocabulary=5), distribution, samples=3)
        scored = model.score(drawn).completions
        torch.testing.assert_close(drawn.log_probs, scored.detach(), atol=1e-12, rtol=0)


def test_a_frozen_copy_stays_as_it_was() -> None:
    model = _model()
    frozen = model.frozen()
    batch = packed_batch(vocabulary=5)
    before = frozen.score_sequences(batch)
    with torch.no_grad():
        model.logits.add_(torch.randn(model.logits.shape, generator=seeded(3)))
    assert torch.equal(frozen.score_sequences(batch), before)
    assert not frozen.logits.requires_grad
    assert model.logits.requires_grad
    assert (model.score_sequences(batch) - before).abs().max() > 0.1


def test_sizes() -> None:
    model = _model(layers=3, hidden=7, end_tokens=[1, 2])
    assert (model.vocabulary_size, model.layer_count, model.hidden_size) == (5, 3, 7)
    assert model.end_tokens == (1, 2)
    assert model.logits.dtype == torch.float64
    assert math.prod(model.logits.shape) == 6**3 * 5


def test_a_table_that_is_too_large_is_refused() -> None:
    with pytest.raises(UserError, match=r"vocabulary 100 and order 4 make .* too many for a table"):
        TabularLanguageModel(100, 4)
