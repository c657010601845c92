from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import pytest
import torch

from ebmlm.data import TextRow
from ebmlm.distribution import Categorical
from ebmlm.errors import UserError
from ebmlm.evaluation import Bleu, ChrF, CompletionEvaluation, EvaluationReport
from ebmlm.samplers import AutoregressiveSampler
from ebmlm.texts import Attempt
from ebmlm.verifiers import FunctionVerifier, Verifier
from tests.evaluation.pairs import END, YES, knows, model, row, rows, texts

# Greedily solved, never ending, solved, wrong; of different lengths.
PAIRS = [("is it q", "y"), ("ll", "llll"), ("alphabet: a", "bcd"), ("q", "n")]


def measured(
    pairs: Sequence[tuple[str, str]] = PAIRS, *, yes: float = YES, **options: Any
) -> EvaluationReport:
    settings: dict[str, Any] = {"horizon": 8, "samples": 4, "ks": (1, 2)} | options
    verifier = settings.pop("verifier", knows())
    evaluation = CompletionEvaluation(texts(pairs), verifier, **settings)
    return evaluation(model(yes), rows(pairs))


def per_item(report: EvaluationReport, name: str) -> list[float]:
    assert report.measurements[name].counts.tolist() == [1] * len(report)
    found: list[float] = report.measurements[name].totals.tolist()
    return found


def test_greedy_completions_are_what_the_table_says() -> None:
    report = measured()
    assert report.ids.tolist() == [100, 101, 102, 103]
    assert per_item(report, "greedy_accuracy") == [1, 0, 1, 0]
    assert report.means()["greedy_accuracy"] == 0.5
    # Two solved of four: deviation sqrt(1/3), over sqrt(4).
    assert report.standard_errors()["greedy_accuracy"] == pytest.approx((1 / 3) ** 0.5 / 2)
    # y and its end; eight times l; b, c, d and the end; y and its end.
    assert per_item(report, "greedy_length") == [2, 8, 4, 2]
    assert per_item(report, "greedy_ended") == [1, 0, 1, 1]
    # Five 4-grams of l, of which one is new.
    assert per_item(report, "greedy_repetition") == pytest.approx([0, 0.8, 0, 0])
    assert [one.written for one in report.written] == ["y", "llllllll", "bcd", "y"]
    assert [one.real for one in report.written] == ["y", "llll", "bcd", "n"]
    assert [one.score for one in report.written] == [1, 0, 1, 0]
    assert report.written[2].prompt == "alphabet: a"


def test_samples_are_counted_by_the_unbiased_estimate() -> None:
    report = measured(samples=5, ks=(1, 2, 5), seed=3)
    sampler = AutoregressiveSampler(8, 5, Categorical())
    from ebmlm.data import collate

    generator = torch.Generator().manual_seed(3)
    drawn = sampler.sample(model(), collate(rows(PAIRS)), generator=generator)
    answers = [
        [one.attempt.completion for one in texts(PAIRS).attempts(drawn)[place::5]]
        for place in range(5)
    ]
    solved = [sum(sample[item] == PAIRS[item][1] for sample in answers) for item in range(4)]
    assert 0 < solved[0] < 5, "the seed shows nothing"
    assert per_item(report, "pass_at_1") == pytest.approx([count / 5 for count in solved])
    assert per_item(report, "sample_score") == pytest.approx([count / 5 for count in solved])
    none_of_two = [(5 - count) * (4 - count) / 20 for count in solved]
    assert per_item(report, "pass_at_2") == pytest.approx([1 - share for share in none_of_two])
    assert per_item(report, "pass_at_5") == pytest.approx([float(c > 0) for c in solved])


def test_pass_at_k_finds_the_chance_that_is_in_the_table() -> None:
    """400 items; four standard errors: one false alarm in sixteen thousand, were seeds drawn."""
    report = measured([("q", "y")] * 400, yes=0.3, samples=4, ks=(1, 3), batch_size=100, seed=1)
    assert report.means()["greedy_accuracy"] == 0
    for name, exact in (("pass_at_1", 0.3), ("pass_at_3", 1 - 0.7**3)):
        found = report.measurements[name]
        assert 0 < found.standard_error < 0.03
        assert abs(found.mean - exact) < 4 * found.standard_error


@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_nothing_depends_on_batches_or_the_order_of_rows(batch_size: int) -> None:
    whole = measured(batch_size=9, text_metrics=(ChrF(),))
    cut = measured(batch_size=batch_size, text_metrics=(ChrF(),))
    assert cut.means() == whole.means()
    assert cut.to_json() == whole.to_json()
    evaluation = CompletionEvaluation(texts(PAIRS), knows(), 8, 4, (1, 2), batch_size=batch_size)
    back = evaluation(model(), rows(PAIRS)[::-1])
    assert back.ids.tolist() == whole.ids.tolist()[::-1]
    for name, value in back.measurements.items():
        assert value.totals.flip(0).equal(whole.measurements[name].totals), name


def test_pieces_of_the_rows_join_to_the_whole() -> None:
    evaluation = CompletionEvaluation(
        texts(PAIRS), knows(), 8, 4, text_metrics=(ChrF(), Bleu()), kept=4
    )
    whole = evaluation(model(), rows(PAIRS))
    pieces = [evaluation(model(), rows(PAIRS)[start::2]) for start in (1, 0)]
    assert EvaluationReport.joined(pieces).to_json() == whole.to_json()


def test_other_seeds_are_other_draws_and_one_seed_is_the_same_draws() -> None:
    pairs = [("q", "y")] * 40
    first, again, other = (measured(pairs, yes=0.5, seed=seed) for seed in (0, 0, 1))
    assert first.to_json() == again.to_json()
    assert per_item(first, "pass_at_1") != per_item(other, "pass_at_1")
    assert per_item(first, "greedy_score") == per_item(other, "greedy_score")


def test_text_metrics_compare_greedy_and_real_completions() -> None:
    report = measured(text_metrics=(ChrF(), Bleu()))
    written = [one.written for one in report.written]
    real = [pair[1] for pair in PAIRS]
    singly = [ChrF().sentence(*pair) for pair in zip(written, real, strict=True)]
    assert per_item(report, "chrf") == pytest.approx(singly)
    assert singly[0] == singly[2] == 100
    assert singly[3] == 0
    sums = ChrF().statistics(written, real).sum(0)
    assert report.corpus["corpus_chrf"].score == ChrF().corpus(sums)
    assert set(report.corpus) == {"corpus_chrf", "corpus_bleu"}


def test_partial_credit_is_a_score_but_not_solved() -> None:
    class Half(Verifier):
        solved_from = 0.75

        def __call__(self, attempts: Sequence[Attempt]) -> list[float]:
            return [0.75 if one.completion == "bcd" else 0.5 for one in attempts]

    report = measured(verifier=Half())
    assert per_item(report, "greedy_score") == [0.5, 0.5, 0.75, 0.5]
    assert per_item(report, "greedy_accuracy") == [0, 0, 1, 0]
    assert per_item(report, "pass_at_1") == [0, 0, 1, 0]


def test_the_verifier_is_asked_once_a_batch() -> None:
    asked: list[int] = []

    class Counting(Verifier):
        def __call__(self, attempts: Sequence[Attempt]) -> list[float]:
            asked.append(len(attempts))
            return [0.0] * len(attempts)

    measured(verifier=Counting(), samples=3, batch_size=2)
    assert asked == [8, 8]


def test_rows_without_a_completion_count_zero() -> None:
    bare = row(104, "only a prompt", "")
    assert bare.targets is not None
    bare = dataclasses.replace(bare, targets=torch.zeros_like(bare.targets))
    evaluation = CompletionEvaluation(
        texts(PAIRS), knows(), 8, 2, batch_size=2, text_metrics=(ChrF(),)
    )
    told: list[tuple[int, int]] = []
    report = evaluation(
        model(),
        [bare, *rows(PAIRS)],
        on_progress=lambda done, total: told.append((done, total)),
    )
    assert told == [(3, 5), (5, 5)]
    whole = evaluation(model(), rows(PAIRS))
    for name, value in report.measurements.items():
        assert value.counts.tolist() == [0, 1, 1, 1, 1]
        assert value.mean == whole.measurements[name].mean
        assert value.standard_error == whole.measurements[name].standard_error
    found = report.corpus["corpus_chrf"]
    assert found.score == whole.corpus["corpus_chrf"].score
    assert found.resampled().equal(whole.corpus["corpus_chrf"].resampled())
    with pytest.raises(UserError, match="none of the 1 held-out rows has a completion"):
        evaluation(model(), [bare])
    with pytest.raises(UserError, match="no held-out row"):
        evaluation(model(), [])


def test_the_longest_prompt_is_read_beforehand(monkeypatch: pytest.MonkeyPatch) -> None:
    """With room for a completion; nothing is drawn."""
    table = model()
    begun: list[tuple[list[int], int]] = []
    start = type(table).start

    def told(self: Any, batch: Any, anchors: Any, mask: Any, samples: int, horizon: int) -> Any:
        begun.append((anchors.tolist()[0], horizon))
        return start(self, batch, anchors, mask, samples, horizon)

    monkeypatch.setattr(type(table), "start", told)
    evaluation = CompletionEvaluation(texts(PAIRS), knows(), 7, 2)
    evaluation.check(table, rows(PAIRS))
    assert begun == [([len("alphabet: a")], 7)]
    with pytest.raises(UserError, match="several items"):
        evaluation.check(table, [packed()])


def test_kept_completions_are_spread_over_the_rows() -> None:
    pairs = [("q", str(place)) for place in range(10)]
    assert [one.id for one in measured(pairs, kept=3).written] == [100, 103, 106]
    assert measured(pairs, kept=0).written == []


def packed() -> TextRow:
    first, second = rows(PAIRS)[:2]
    assert first.targets is not None and second.targets is not None
    return TextRow(
        torch.cat([first.sequence, second.sequence]),
        torch.cat([first.documents, second.documents]),
        7,
        torch.cat([first.targets, second.targets]),
    )


def several_turns() -> TextRow:
    one = row(100, "aqa", "bcdbcd")
    assert one.targets is not None
    return dataclasses.replace(one, targets=one.targets & (one.sequence != int(one.sequence[5])))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (packed(), "row 7 holds several items"),
        (several_turns(), "row 100 holds several items"),
        (dataclasses.replace(row(5, "q", "y"), targets=None), "what is a prompt"),
    ],
)
def test_rows_that_are_not_one_item_are_refused(wrong: TextRow, words: str) -> None:
    evaluation = CompletionEvaluation(texts(PAIRS), knows(), 4, 1)
    with pytest.raises(UserError, match=words):
        evaluation(model(), [*rows(PAIRS), wrong])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"samples": 2, "ks": (1, 4)}, "pass@4 cannot be estimated from 2 samples"),
        ({"ks": (0,)}, "k is 0"),
        ({"horizon": 0}, "horizon is 0"),
        ({"samples": 0, "ks": ()}, "samples is 0"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"kept": -1}, "kept is -1"),
        ({"text_metrics": (ChrF(), ChrF())}, "called alike"),
    ],
)
def test_what_cannot_be_measured_is_refused_beforehand(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        CompletionEvaluation(texts(PAIRS), knows(), **options)


def test_a_verifier_that_breaks_its_promise_is_found_out() -> None:
    class Short(Verifier):
        def __call__(self, attempts: Sequence[Attempt]) -> list[float]:
            return [1.0]

    class Nan(Verifier):
        def __call__(self, attempts: Sequence[Attempt]) -> list[float]:
            return [float("nan")] * len(attempts)

    with pytest.raises(ValueError, match="1 scores for 20"):
        measured(verifier=Short())
    with pytest.raises(ValueError, match="returned nan"):
        measured(verifier=Nan())


def test_an_empty_completion_is_measured_too() -> None:
    """The end at once: no text, one token, nothing repeated."""
    table = model()
    with torch.no_grad():
        table.logits[:] = -1e9
        table.logits[:, END] = 0
    evaluation = CompletionEvaluation(
        texts(PAIRS),
        FunctionVerifier(lambda prompt, completion, item: completion == ""),
        4,
        2,
        text_metrics=(ChrF(), Bleu()),
    )
    means = evaluation(table, rows(PAIRS)).means()
    assert means["greedy_accuracy"] == means["sample_ended"] == means["greedy_length"] == 1
    assert means["greedy_repetition"] == means["chrf"] == means["bleu"] == 0
