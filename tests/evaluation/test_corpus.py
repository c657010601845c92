from __future__ import annotations

import math

import pytest
import torch

from ebmlm.evaluation import ChrF, CorpusMeasurement

TEXTS = ["the cat sat", "a dog ran away", "birds fly", "it rains"]
REAL = ["the cat slept", "the dog ran off", "birds fly", "the sun shines"]


def measured(texts: list[str] = TEXTS) -> CorpusMeasurement:
    counted = torch.ones(len(texts), dtype=torch.bool)
    return CorpusMeasurement(ChrF(), ChrF().statistics(texts, REAL[: len(texts)]), counted)


def test_resamples_are_scores_of_drawn_items() -> None:
    found = measured().resampled(seed=5)
    generator = torch.Generator().manual_seed(5)
    drawn = torch.randint(4, (len(found), 4), generator=generator)
    for place in (0, 17):
        texts = [TEXTS[item] for item in drawn[place].tolist()]
        real = [REAL[item] for item in drawn[place].tolist()]
        assert float(found[place]) == ChrF().corpus(ChrF().statistics(texts, real).sum(0))
    assert found.equal(measured().resampled(seed=5))
    assert not found.equal(measured().resampled(seed=6))


def test_two_measurements_are_resampled_alike() -> None:
    """A second model that writes the same has no difference on any resample."""
    better = measured([TEXTS[0], TEXTS[1], TEXTS[2], REAL[3]])
    difference = better.resampled() - measured().resampled()
    # Only item 3 is better, so no resample is worse, and those without it are the same.
    assert (difference >= 0).all()
    share = float((difference == 0).double().mean())
    # 0.75^4, by a thousand resamples: four standard errors.
    assert abs(share - 0.75**4) < 4 * math.sqrt(0.75**4 * (1 - 0.75**4) / 1000)


def test_nothing_counted_is_not_a_number() -> None:
    empty = CorpusMeasurement(ChrF(), measured().statistics, torch.zeros(4, dtype=torch.bool))
    assert empty.items == 0
    assert math.isnan(empty.score)
    assert empty.resampled().isnan().all()


def test_it_survives_json() -> None:
    again = CorpusMeasurement.from_json(measured().to_json())
    assert again.statistics.equal(measured().statistics)
    assert again.counted.equal(measured().counted)
    assert again.metric == ChrF()
    assert again.score == pytest.approx(measured().score)
