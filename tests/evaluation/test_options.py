from __future__ import annotations

import pytest

from ebmlm.errors import UserError
from ebmlm.evaluation import ChrF, CompletionOptions
from tests.evaluation.pairs import knows, model, rows, texts

PAIRS = [("q", "y"), ("alphabet: a", "bcd")]


def test_options_are_the_evaluation() -> None:
    options = CompletionOptions(
        knows(), horizon=4, samples=3, ks=(2, 1), text_metrics=(ChrF(),), kept=1, seed=4
    )
    evaluation = options.build(texts(PAIRS))
    assert (evaluation.greedy.horizon, evaluation.drawn.samples) == (4, 3)
    assert (evaluation.seed, evaluation.batch_size) == (4, options.batch_size)
    report = evaluation(model(), rows(PAIRS))
    assert {"pass_at_1", "pass_at_2", "chrf"} <= report.measurements.keys()
    assert len(report.written) == 1


def test_sizes_are_refused_when_it_is_built() -> None:
    with pytest.raises(UserError, match="pass@8 cannot be estimated from 4 samples"):
        CompletionOptions(knows(), samples=4, ks=(1, 8)).build(texts(PAIRS))
