from __future__ import annotations

import math

import pytest
import torch

from ebmlm.evaluation import (
    ChrF,
    CorpusMeasurement,
    EvaluationReport,
    Measurement,
    differences,
    figures,
)
from ebmlm.evaluation.figures import not_compared


def of(totals: list[float], counts: list[int] | None = None) -> Measurement:
    counts = [1] * len(totals) if counts is None else counts
    return Measurement(torch.tensor(totals, dtype=torch.float64), torch.tensor(counts))


def report(**measurements: Measurement) -> EvaluationReport:
    number = len(next(iter(measurements.values())).counts)
    return EvaluationReport(torch.arange(number), measurements)


def corpus(texts: list[str], real: list[str], metric: ChrF | None = None) -> EvaluationReport:
    metric = metric or ChrF()
    counted = torch.ones(len(texts), dtype=torch.bool)
    whole = CorpusMeasurement(metric, metric.statistics(texts, real), counted)
    return EvaluationReport(torch.arange(len(texts)), {}, {"corpus_chrf": whole})


def test_a_mean_has_its_error_interval_and_items() -> None:
    found = figures(report(score=of([1.0, 2.0, 3.0])))["score"]
    assert found.value == 2
    assert found.standard_error == pytest.approx(1 / math.sqrt(3))
    assert found.high - 2 == 2 - found.low == pytest.approx(4.3027 / math.sqrt(3), rel=1e-4)
    assert found.items == 3


def test_shares_of_items_have_wilsons_interval() -> None:
    """None of ten items is solved: the interval says up to z^2 / (10 + z^2)."""
    found = figures(report(accuracy=of([0.0] * 10), length=of([0.0] * 10, [2] * 10)))
    assert found["accuracy"].low == 0
    assert found["accuracy"].high == pytest.approx(0.27753, abs=1e-5)
    # What is counted twice an item is no share of items.
    assert found["length"].high == 0
    # An item that has nothing to count changes nothing.
    padded = figures(report(accuracy=of([0.0] * 11, [1] * 10 + [0])))["accuracy"]
    assert padded == found["accuracy"]


def test_differences_of_shares_have_no_wilson_interval() -> None:
    """Two of four items were gained: a mean of 0 and 1, but of differences."""
    change = differences(report(a=of([1.0, 1.0, 0.0, 0.0])), report(a=of([0.0] * 4)))["a"]
    assert change.value == 0.5
    # Deviation sqrt(1/3), over 2; t of three degrees of freedom is 3.1824.
    assert change.low == pytest.approx(0.5 - 3.1824 * math.sqrt(1 / 3) / 2, abs=1e-4)


def test_perplexity_is_the_exponential_with_the_delta_methods_error() -> None:
    entropy = of([2.0, 8.0, 4.0], [1, 3, 2])
    found = figures(report(cross_entropy=entropy, other=of([1.0, 2.0, 4.0])))
    assert list(found) == ["cross_entropy", "perplexity", "other"]
    perplexity = found["perplexity"]
    assert perplexity.value == pytest.approx(math.exp(14 / 6))
    assert perplexity.standard_error == pytest.approx(perplexity.value * entropy.standard_error)
    assert math.log(perplexity.low) == pytest.approx(entropy.interval()[0])
    assert math.log(perplexity.high) == pytest.approx(entropy.interval()[1])
    assert perplexity.items == 3


def test_of_perplexities_the_ratio_is_compared() -> None:
    before, after = of([2.0, 8.0, 4.0], [1, 3, 2]), of([1.5, 7.0, 3.0], [1, 3, 2])
    found = differences(report(cross_entropy=after), report(cross_entropy=before))
    ratio = found["perplexity_ratio"]
    assert ratio.value == pytest.approx(math.exp(after.mean) / math.exp(before.mean))
    change = after.minus(before)
    assert ratio.standard_error == pytest.approx(ratio.value * change.standard_error)
    assert math.log(ratio.high) == pytest.approx(change.interval()[1])
    assert found["cross_entropy"].standard_error == pytest.approx(change.standard_error)
    assert "perplexity" not in found


def test_an_enormous_cross_entropy_is_an_infinite_perplexity() -> None:
    found = figures(report(cross_entropy=of([5000.0, 5001.0])))["perplexity"]
    assert found.value == math.inf
    assert found.to_json()["value"] is None


def test_errors_of_a_mean_and_of_the_bootstrap_agree() -> None:
    """Scores of the corpus are resampled: one that is all alike has no error."""
    texts, real = ["abcdef"] * 20, ["abcxyz"] * 20
    same = figures(corpus(texts, real))["corpus_chrf"]
    assert same.standard_error == pytest.approx(0, abs=1e-12)
    assert same.low == same.value == same.high
    texts = ["abcdef", "abcxyz"] * 10
    mixed = figures(corpus(texts, real))["corpus_chrf"]
    singly = [ChrF().sentence(text, "abcxyz") for text in texts]
    # Texts of one length: the corpus's score is nearly their mean, and so is its error.
    assert mixed.value == pytest.approx(sum(singly) / 20, rel=0.05)
    assert mixed.standard_error == pytest.approx(of(singly).standard_error, rel=0.1)
    assert mixed.low < mixed.value < mixed.high
    assert mixed.items == 20


def test_corpus_scores_compare_on_the_same_resamples() -> None:
    real = [f"sentence number {n} of the text" for n in range(12)]
    before = corpus([text.replace("number", "nomber") for text in real], real)
    after = corpus([text.replace("number", "numbe") for text in real], real)
    change = differences(after, before)["corpus_chrf"]
    singly = figures(before)["corpus_chrf"].standard_error
    assert change.value == after.corpus["corpus_chrf"].score - before.corpus["corpus_chrf"].score
    assert differences(before, before)["corpus_chrf"].standard_error == 0 < singly
    with pytest.raises(ValueError, match="different metrics"):
        differences(after, corpus(real, real, ChrF(2)))


def test_what_is_too_little_is_not_a_number_and_null() -> None:
    one = figures(report(score=of([2.0])))["score"]
    assert one.to_json() == {
        "value": 2.0,
        "standard_error": None,
        "interval": [None, None],
        "items": 1,
    }
    nothing = figures(report(score=of([0.0], [0])))["score"]
    assert nothing.to_json()["value"] is None
    assert nothing.items == 0
    assert math.isnan(figures(corpus(["a"], ["b"]))["corpus_chrf"].standard_error)


def test_only_what_both_measured_is_compared() -> None:
    before, after = report(a=of([1.0, 2.0]), b=of([1.0, 2.0])), report(a=of([2.0, 4.0]))
    assert list(differences(after, before)) == ["a"]
    assert not_compared(after, before) == ["b"]
    with pytest.raises(ValueError, match="different sequences"):
        differences(report(a=of([1.0])), before)
