"""The block-parallel sampler draws what it says it draws."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ebmlm.distribution import Greedy
from ebmlm.errors import UserError
from ebmlm.language_model import LanguageModel
from ebmlm.rollouts import Rollouts, SequenceBatch
from ebmlm.samplers import BlockParallelSampler, GivenAnchors, StridedAnchors
from ebmlm.testing import TabularLanguageModel
from ebmlm.testing.strategies import batches
from tests.helpers import (
    CONFIGURATIONS,
    DISTRIBUTIONS,
    VOCABULARY,
    draw,
    one_branch_at_a_time,
    packed_batch,
    padded,
    pair,
    prefix_of,
    seeded,
)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("architecture", CONFIGURATIONS)
def test_recorded_log_probabilities_are_the_scorers(architecture: str, dtype: torch.dtype) -> None:
    """Every importance ratio is one, under every temperature and truncation."""
    model, _ = pair(architecture, dtype)
    tolerance = 1e-8 if dtype == torch.float64 else 2e-4
    for distribution in (*DISTRIBUTIONS.values(), Greedy()):
        rollouts = draw(model, packed_batch(), distribution)
        scored = model.score(rollouts).completions.detach()
        torch.testing.assert_close(rollouts.log_probs, scored, atol=tolerance, rtol=0)
        assert rollouts.distribution is distribution
        assert not rollouts.log_probs.requires_grad
        live = rollouts.token_mask()
        assert (rollouts.log_probs[~live] == 0).all()
        assert (rollouts.completions[~live] == 0).all()
        assert (rollouts.completions[live] < VOCABULARY).all()
        if not isinstance(distribution, Greedy):
            assert (rollouts.log_probs[live] < -0.5).float().mean() > 0.1


def test_drawn_tokens_lie_within_the_truncation() -> None:
    """By the oracle a token outside of it has log-probability minus infinity."""
    model, raw = pair()
    for name in ("nucleus", "top-k", "both"):
        rollouts = draw(model, packed_batch(), DISTRIBUTIONS[name], samples=4)
        assert one_branch_at_a_time(raw, rollouts).isfinite().all()


def _valid(rollouts: Rollouts) -> list[tuple[Tensor, ...]]:
    """Of every row what was drawn at its valid anchors, padding and columns left out."""
    found = []
    for row in range(len(rollouts.batch)):
        valid = rollouts.anchor_mask[row]
        fields = ("completions", "completion_mask", "references", "reference_mask", "log_probs")
        found.append(tuple(getattr(rollouts, name)[row][valid] for name in fields))
    return found


def _assert_same(left: list[tuple[Tensor, ...]], right: list[tuple[Tensor, ...]]) -> None:
    for ours, theirs in zip(left, right, strict=True):
        assert torch.equal(ours[0], theirs[0])
        assert torch.equal(ours[1], theirs[1])
        assert torch.equal(ours[2], theirs[2])
        assert torch.equal(ours[3], theirs[3])
        torch.testing.assert_close(ours[4], theirs[4], atol=1e-10, rtol=0)


def test_the_same_generator_draws_the_same() -> None:
    model, _ = pair()
    first, again, other = (draw(model, packed_batch(), seed=seed) for seed in (1, 1, 2))
    _assert_same(_valid(first), _valid(again))
    assert not torch.equal(first.completions, other.completions)
    sampler = BlockParallelSampler(StridedAnchors(4, 3), 4, 2)
    generator = seeded(1)
    one = sampler.sample(model, packed_batch(), generator=generator)
    two = sampler.sample(model, packed_batch(), generator=generator)
    assert torch.equal(one.completions, first.completions)
    assert not torch.equal(two.completions, first.completions)


@pytest.mark.parametrize("model_name", ["llama", "gpt2", "table"])
def test_draws_do_not_depend_on_the_cut_of_the_batch(model_name: str) -> None:
    model, batch = _model_and_batch(model_name)
    whole = _valid(draw(model, batch))
    for cut in ([0, 2, 4], [0, 1, 2, 3, 4], [0, 3, 4]):
        parts = [
            item
            for start, stop in itertools.pairwise(cut)
            for item in _valid(draw(model, batch.rows(start, stop)))
        ]
        _assert_same(parts, whole)


@pytest.mark.parametrize("model_name", ["llama", "gpt2", "table"])
@pytest.mark.parametrize(("before", "after"), [(3, 0), (0, 5), (9, 1)])
def test_draws_do_not_depend_on_padding(model_name: str, before: int, after: int) -> None:
    """Nor on the columns of invalid anchors that more padding brings."""
    model, batch = _model_and_batch(model_name)
    wider = draw(model, padded(batch, before, after, fill=2))
    narrow = draw(model, batch)
    assert wider.anchors.shape[1] >= narrow.anchors.shape[1]
    _assert_same(_valid(wider), _valid(narrow))


@given(batches(vocabulary=4), st.integers(0, 3), st.integers(0, 3), st.data())
def test_any_text_is_drawn_from_alike(
    batch: SequenceBatch, before: int, after: int, data: st.DataObject
) -> None:
    """However it is padded and cut, and whatever shares its batch."""
    model = TabularLanguageModel(4, 3, end_tokens=[1], generator=seeded(0))
    options: Any = {"horizon": 1 if batch.sequences.shape[1] < 4 else 2, "stride": 2, "context": 1}
    whole = draw(model, batch, **options)
    scored = model.score(whole).completions.detach()
    torch.testing.assert_close(whole.log_probs, scored, atol=1e-10, rtol=0)
    _assert_same(_valid(draw(model, padded(batch, before, after), **options)), _valid(whole))
    cut = data.draw(st.integers(0, len(batch)))
    pieces = [batch.rows(0, cut), batch.rows(cut, len(batch))]
    drawn = [
        item for piece in pieces if len(piece) for item in _valid(draw(model, piece, **options))
    ]
    _assert_same(drawn, _valid(whole))


def _model_and_batch(name: str) -> tuple[LanguageModel, SequenceBatch]:
    if name == "table":
        table = TabularLanguageModel(4, 3, end_tokens=[1], generator=seeded(0))
        return table, packed_batch(vocabulary=4)
    return pair(name)[0], packed_batch()


@pytest.mark.parametrize("architecture", CONFIGURATIONS)
def test_greedy_is_what_generate_gives(architecture: str) -> None:
    model, raw = pair(architecture)
    batch = packed_batch()
    ends = tuple(range(0, VOCABULARY, 3))
    model.end_tokens = ends
    rollouts = draw(model, batch, Greedy(), samples=1, horizon=5)
    assert (~rollouts.completion_mask)[rollouts.anchor_mask].any()
    for row, place in rollouts.anchor_mask.nonzero().tolist():
        prefix = prefix_of(batch, row, int(rollouts.anchors[row, place]))
        expected = raw.generate(
            torch.tensor([prefix]),
            attention_mask=torch.ones(1, len(prefix), dtype=torch.long),
            do_sample=False,
            max_new_tokens=5,
            eos_token_id=list(ends),
            pad_token_id=0,
        )[0, len(prefix) :]
        mask = rollouts.completion_mask[row, place, 0]
        assert rollouts.completions[row, place, 0][mask].tolist() == expected.tolist()


@pytest.mark.parametrize("model_name", ["llama", "table"])
def test_nothing_comes_after_the_end(model_name: str) -> None:
    model, batch = _model_and_batch(model_name)
    if model_name == "llama":
        model.end_tokens = tuple(range(0, VOCABULARY, 5))
    rollouts = draw(model, batch, samples=4, horizon=6)
    ends = torch.isin(rollouts.completions, torch.tensor(model.end_tokens))
    stopped = 0
    for row, place in rollouts.anchor_mask.nonzero().tolist():
        for sample in range(4):
            tokens = rollouts.completions[row, place, sample].tolist()
            mask = rollouts.completion_mask[row, place, sample].tolist()
            length = sum(mask)
            assert mask == [True] * length + [False] * (6 - length)
            inside = ends[row, place, sample, :length].tolist()
            # The end itself counts, and only the last token can be one.
            assert not any(inside[:-1])
            assert length == 6 or inside[-1]
            assert tokens[length:] == [0] * (6 - length)
            stopped += length < 6
    assert stopped > 3


def test_all_branches_may_end_at_once() -> None:
    model, batch = _model_and_batch("llama")
    model.end_tokens = tuple(range(VOCABULARY))
    rollouts = draw(model, batch, horizon=6)
    assert rollouts.completions.shape[-1] == 6
    assert rollouts.completion_mask.sum(-1)[rollouts.anchor_mask].eq(1).all()
    scored = model.score(rollouts).completions
    torch.testing.assert_close(scored.detach(), rollouts.log_probs, atol=1e-10, rtol=0)


def test_a_batch_without_a_valid_anchor() -> None:
    for name in ("llama", "table"):
        model, _ = _model_and_batch(name)
        batch = SequenceBatch.of(
            torch.ones(2, 8, dtype=torch.long), documents=torch.arange(8).repeat(2, 1)
        )
        rollouts = draw(model, batch)
        assert not rollouts.anchor_mask.any()
        assert not rollouts.completion_mask.any()
        assert (rollouts.log_probs == 0).all()
        scored = model.score(rollouts).completions
        assert (scored == 0).all()
        scored.sum().backward()


def test_anchors_need_not_be_in_order() -> None:
    model, raw = pair()
    batch = SequenceBatch.of(
        torch.randint(VOCABULARY, (1, 12), generator=seeded(0)),
        anchors=torch.tensor([[9, 2, 5, 2]]),
    )
    rollouts = BlockParallelSampler(GivenAnchors(), 3, 2).sample(model, batch, generator=seeded(0))
    expected = one_branch_at_a_time(raw, rollouts)
    torch.testing.assert_close(rollouts.log_probs, expected, atol=1e-5, rtol=0)
    scored = model.score(rollouts).completions.detach()
    torch.testing.assert_close(scored, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"horizon": 0}, "horizon is 0"),
        ({"samples": 0}, "samples is 0"),
        ({"horizon": -1}, "is -1"),
    ],
)
def test_options_under_one_are_refused(options: dict[str, int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        BlockParallelSampler(**options)  # type: ignore[arg-type]


def test_trunk_is_read_once_whatever_the_number_of_samples() -> None:
    model, _ = pair(end_tokens=())
    passes: list[int] = []

    def count(_: object, arguments: tuple[object, ...], options: dict[str, Tensor]) -> None:
        passes.append(options["input_ids"].shape[1])

    model.model.model.register_forward_pre_hook(count, with_kwargs=True)
    batch = packed_batch()
    rollouts = draw(model, batch, samples=3, horizon=4)
    branches = rollouts.anchors.shape[1] * 3
    # One pass for the trunk, then one token for each branch; the last token needs no pass.
    assert passes == [25, branches, branches, branches]
