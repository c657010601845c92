from __future__ import annotations

import builtins
from typing import Any

import pytest
import sacrebleu

from ebmlm.errors import UserError
from ebmlm.evaluation import Bleu, ChrF, TextMetric
from ebmlm.evaluation.text_metrics import metric_from_json, metric_to_json

TEXTS = ["the cat sat on the mat .", "", "Ein Hund läuft, sehr schnell!", "def f(x): return x + 1"]
REAL = ["a cat sat on a mat", "nothing", "Ein Hund läuft schnell!", "def f(y):\n    return y + 1"]


@pytest.mark.parametrize(
    ("metric", "theirs"),
    [
        (ChrF(), sacrebleu.CHRF()),
        (ChrF(word_order=2), sacrebleu.CHRF(word_order=2)),
        (Bleu(), sacrebleu.BLEU()),
        (Bleu(tokenise="char"), sacrebleu.BLEU(tokenize="char")),
    ],
)
def test_corpus_scores_are_sacrebleus(metric: TextMetric, theirs: Any) -> None:
    statistics = metric.statistics(TEXTS, REAL)
    assert statistics.shape[0] == len(TEXTS)
    found = metric.corpus(statistics.sum(0))
    assert found == theirs.corpus_score(TEXTS, [REAL]).score
    assert 0 < found < 100
    # Of some texts only, too: statistics are additive.
    assert metric.corpus(statistics[2:].sum(0)) == theirs.corpus_score(TEXTS[2:], [REAL[2:]]).score


def test_scores_of_one_text_are_sacrebleus() -> None:
    for text, real in zip(TEXTS, REAL, strict=True):
        assert ChrF().sentence(text, real) == sacrebleu.sentence_chrf(text, [real]).score
        assert ChrF(2).sentence(text, real) == pytest.approx(
            sacrebleu.CHRF(word_order=2).sentence_score(text, [real]).score
        )
        assert Bleu().sentence(text, real) == sacrebleu.sentence_bleu(text, [real]).score
    assert ChrF().sentence("same", "same") == 100
    assert Bleu().sentence("same", "same") == pytest.approx(100)


def test_chrf_of_a_short_text_by_hand() -> None:
    """Of ``abc`` and ``abd``: 2/3, 1/2 and 0 of the n-grams, both ways; the mean is the score."""
    assert ChrF().sentence("abc", "abd") == pytest.approx(100 * (2 / 3 + 1 / 2 + 0) / 3)


def test_metrics_have_names_and_survive_json() -> None:
    names = {ChrF(): "chrf", ChrF(2): "chrf2", Bleu(): "bleu"}
    for metric, name in names.items():
        assert metric.name == name
        assert metric_from_json(metric_to_json(metric)) == metric
    with pytest.raises(UserError, match="'Other' is not one of ChrF, Bleu"):
        metric_from_json({"class": "Other", "options": {}})


def test_a_missing_sacrebleu_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **options: Any) -> Any:
        if name == "sacrebleu":
            raise ModuleNotFoundError("No module named 'sacrebleu'", name="sacrebleu")
        return real(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match="pip install sacrebleu"):
        ChrF().sentence("a", "b")
