from __future__ import annotations

import json

import pytest
import torch

from ebmlm.evaluation import (
    ChrF,
    CorpusMeasurement,
    EvaluationReport,
    Measurement,
    WrittenCompletion,
)


def report(
    ids: list[int], name: str = "a", *, totals: list[float] | None = None, corpus: str = "c"
) -> EvaluationReport:
    texts = [f"text {identity} written" for identity in ids]
    real = [f"text {identity} is real" for identity in ids]
    counts = torch.tensor([2] * len(ids))
    measured = Measurement(torch.tensor(totals or [float(i) for i in ids]).double(), counts)
    whole = CorpusMeasurement(
        ChrF(2), ChrF(2).statistics(texts, real), torch.ones(len(ids), dtype=torch.bool)
    )
    written = [WrittenCompletion(ids[0], "p", texts[0], real[0], 0.5)]
    return EvaluationReport(torch.tensor(ids), {name: measured}, {corpus: whole}, written)


def test_differences_are_paired() -> None:
    before = report([0, 1], totals=[10.0, 20.0])
    after = report([0, 1], totals=[8.0, 18.0])
    difference = after.minus(before)
    assert difference.means() == {"a": -1.0}
    # Both sequences moved alike, however far apart they are.
    assert difference.standard_errors() == {"a": 0.0}
    with pytest.raises(ValueError, match="different sequences"):
        after.minus(report([0, 2]))
    with pytest.raises(ValueError, match="did not measure a"):
        after.minus(report([0, 1], "b"))
    other = Measurement(torch.tensor([8.0, 1.0]), torch.tensor([2, 1]))
    with pytest.raises(ValueError, match="different tokens"):
        after.minus(EvaluationReport(before.ids, {"a": other}))


def test_pieces_join_in_the_order_of_ids() -> None:
    whole = report([1, 2, 3, 4])
    joined = EvaluationReport.joined([report([2, 4]), report([1, 3])])
    assert joined.ids.tolist() == [1, 2, 3, 4]
    assert joined.measurements["a"].totals.equal(whole.measurements["a"].totals)
    assert joined.corpus["c"].statistics.equal(whole.corpus["c"].statistics)
    assert [one.id for one in joined.written] == [1, 2]
    with pytest.raises(ValueError, match="measured the same"):
        EvaluationReport.joined([report([1]), report([2], "b")])
    with pytest.raises(ValueError, match="measured the same"):
        EvaluationReport.joined([report([1]), report([2], corpus="d")])


def test_evaluations_of_the_same_rows_merge() -> None:
    merged = EvaluationReport.merged([report([1, 2]), report([1, 2], "b", corpus="d")])
    assert list(merged.measurements) == ["a", "b"]
    assert list(merged.corpus) == ["c", "d"]
    assert len(merged.written) == 2
    with pytest.raises(ValueError, match="different rows"):
        EvaluationReport.merged([report([1, 2]), report([2, 1], "b")])
    with pytest.raises(ValueError, match="by one name: a"):
        EvaluationReport.merged([report([1]), report([1], "a", corpus="d")])
    with pytest.raises(ValueError, match="by one name: a"):
        EvaluationReport.merged([report([1]), report([1], "b", corpus="a")])


def test_it_survives_json_with_ids_of_63_bits() -> None:
    ids = [(1 << 63) - 1, 5]
    kept = report(ids)
    again = EvaluationReport.from_json(json.loads(json.dumps(kept.to_json())))
    assert again.ids.tolist() == ids
    assert again.to_json() == kept.to_json()
    assert again.minus(kept).means() == {"a": 0.0}
    assert again.corpus["c"].metric == ChrF(2)
    assert again.corpus["c"].score == kept.corpus["c"].score
    assert again.written == kept.written


def test_what_earlier_versions_kept_is_read() -> None:
    """The before.json of 0.1 had no scores of a corpus and no completions."""
    old = {"ids": [3], "measurements": {"a": {"totals": [1.5], "counts": [3]}}}
    found = EvaluationReport.from_json(old)
    assert found.means() == {"a": 0.5}
    assert found.corpus == {}
    assert list(found.written) == []
