from __future__ import annotations

import itertools

import pytest
import torch

from ebmlm.data import TextRow
from ebmlm.distribution import Categorical
from ebmlm.energies import feature_matching_terms
from ebmlm.errors import UserError
from ebmlm.evaluation import HeldOutEvaluation, continuations
from ebmlm.features import HiddenStateFeatures
from ebmlm.rollouts import SequenceBatch
from ebmlm.samplers import BlockParallelSampler, CompletionAnchors, StridedAnchors
from ebmlm.testing import (
    TabularLanguageModel,
    all_completions,
    exact_moment_distance,
    group_rollouts,
)
from tests.data.conftest import byte_tokenizer


def table() -> TabularLanguageModel:
    return TabularLanguageModel(4, 3, generator=torch.Generator().manual_seed(0))


def rows(count: int = 5) -> list[TextRow]:
    generator = torch.Generator().manual_seed(3)
    return [
        TextRow(
            torch.randint(4, (16 - index % 3,), generator=generator),
            torch.zeros(16 - index % 3, dtype=torch.long),
            index,
        )
        for index in range(count)
    ]


def evaluation(model: TabularLanguageModel, **options: int) -> HeldOutEvaluation:
    sampler = BlockParallelSampler(StridedAnchors(3, 2), 3, 3)
    return HeldOutEvaluation(sampler, HiddenStateFeatures(model.frozen()), **options)


def test_the_result_does_not_depend_on_how_it_is_cut_or_on_global_randomness() -> None:
    model = table()
    torch.manual_seed(1)
    whole = evaluation(model, batch_size=5)(model, rows())
    torch.manual_seed(2)
    alone = evaluation(model, batch_size=1)(model, rows())
    assert whole.means() == pytest.approx(alone.means())
    assert whole.standard_errors() == pytest.approx(alone.standard_errors())
    other = evaluation(model, seed=1)(model, rows())
    assert other.means()["cross_entropy"] == whole.means()["cross_entropy"]
    assert other.means()["alignment"] != whole.means()["alignment"]


def test_cross_entropy_is_the_mean_over_tokens() -> None:
    model = table()
    found = evaluation(model)(model, rows()).means()["cross_entropy"]
    total = tokens = 0.0
    for row in rows():
        batch = SequenceBatch.of(row.sequence.unsqueeze(0))
        total -= float(model.score_sequences(batch).detach().sum())
        tokens += len(row) - 1
    assert found == pytest.approx(total / tokens)


def test_the_feature_matching_loss_is_unbiased() -> None:
    """Its mean over all groups of two rollouts, weighted by their probability, is the exact one."""
    model = table()
    batch = SequenceBatch.of(torch.tensor([[0, 2, 1, 3, 0, 2, 1]]))
    features = HiddenStateFeatures(model.frozen())
    listed = all_completions(4, 2)
    everything = group_rollouts(batch, 4, listed, Categorical())
    with torch.no_grad():
        probabilities = model.score(everything).completions.sum(-1).exp()[0, 0]
    seen = features(everything)
    assert seen.references is not None
    exact = exact_moment_distance(probabilities, seen.rollouts[0, 0], seen.references[0, 0])
    measure = evaluation(model)
    expected = 0.0
    for group in itertools.product(range(len(listed)), repeat=2):
        chosen = torch.tensor(group)
        rollouts = group_rollouts(batch, 4, listed[chosen], Categorical())
        found = measure._matching(features(rollouts), rollouts.anchor_mask)["feature_matching_loss"]
        expected += float(probabilities[chosen].prod() * found[0, 0])
    assert expected == pytest.approx(float(exact), abs=1e-10)
    assert feature_matching_terms(seen, everything.anchor_mask).samples == len(listed)


@pytest.mark.parametrize(("samples", "batch_size"), [(1, 4), (2, 0)])
def test_what_cannot_be_measured_is_refused(samples: int, batch_size: int) -> None:
    model = table()
    sampler = BlockParallelSampler(StridedAnchors(3, 2), 3, samples)
    with pytest.raises(UserError, match="at least"):
        HeldOutEvaluation(sampler, HiddenStateFeatures(model), batch_size)


def pair(identity: int, prompt: int, completion: int) -> TextRow:
    generator = torch.Generator().manual_seed(identity)
    length = prompt + completion
    return TextRow(
        torch.randint(4, (length,), generator=generator),
        torch.full((length,), identity),
        identity,
        torch.arange(length) >= prompt,
    )


@pytest.mark.parametrize("batch_size", [1, 4])
def test_completions_are_matched_and_rows_without_an_anchor_count_zero(batch_size: int) -> None:
    """Anchors two tokens into a completion: one of two tokens has none."""
    model = table()
    sampler = BlockParallelSampler(CompletionAnchors(3, 2), 3, 3)
    held_out = HeldOutEvaluation(sampler, HiddenStateFeatures(model.frozen()), batch_size)
    pairs = [pair(0, 3, 8), pair(1, 4, 2), pair(2, 2, 5)]
    report = held_out(model, pairs)
    assert report.measurements["cross_entropy"].counts.tolist() == [8, 2, 5]
    for name in ("feature_matching_loss", "alignment", "diversity"):
        found = report.measurements[name]
        assert found.counts.tolist() == [2, 0, 1]
        assert found.totals.isfinite().all()
        assert found.totals[1] == 0
        without = held_out(model, [pairs[0], pairs[2]]).measurements[name]
        assert (found.mean, found.items) == pytest.approx((without.mean, 2))
        assert found.standard_error == pytest.approx(without.standard_error)
    alone = held_out(model, [pairs[1]])
    assert alone.measurements["alignment"].items == 0
    assert alone.measurements["cross_entropy"].items == 1


def test_no_row_is_refused() -> None:
    model = table()
    with pytest.raises(UserError, match="no held-out sequence"):
        evaluation(model)(model, [])


def test_continuations_stand_where_the_text_goes_on() -> None:
    tokeniser = byte_tokenizer()
    model = TabularLanguageModel(
        len(tokeniser), 1, generator=torch.Generator().manual_seed(0), layers=1, hidden=1
    )
    text = "abcdefghijklmnop"
    tokens = torch.tensor(tokeniser(text, add_special_tokens=False)["input_ids"])
    row = TextRow(tokens, torch.zeros(len(tokens), dtype=torch.long), 0)
    short = TextRow(tokens[:3], torch.zeros(3, dtype=torch.long), 1)
    (found,) = continuations(model, tokeniser, [row, short], Categorical(), tokens=4, seed=1)
    assert found.prompt.endswith("l")
    assert found.real == "mnop"
    again = continuations(model, tokeniser, [row], Categorical(), tokens=4, seed=1)
    assert again[0] == found
    assert continuations(model, tokeniser, [short], Categorical(), tokens=4) == []
