"""Whole completions: against plain forward passes, against generate, and whatever ends when."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ebmlm.distribution import Categorical, Greedy
from ebmlm.energies import FeatureMatchingEnergy, KLEnergy
from ebmlm.errors import UserError
from ebmlm.features import HiddenStateFeatures, MeanToken
from ebmlm.rollouts import Rollouts, Scores, SequenceBatch
from ebmlm.samplers import (
    AutoregressiveSampler,
    BlockParallelSampler,
    CompletionAnchors,
    GivenAnchors,
)
from ebmlm.testing import TabularLanguageModel
from ebmlm.testing.strategies import prompts
from tests.helpers import (
    CONFIGURATIONS,
    DISTRIBUTIONS,
    VOCABULARY,
    one_branch_at_a_time,
    pair,
    prefix_of,
    seeded,
)
from tests.samplers.completions import ENDS, draw, pairs, sampler, with_given


@pytest.mark.parametrize("name", [*DISTRIBUTIONS, "greedy"])
@pytest.mark.parametrize("architecture", ["llama", "gpt2", "qwen2"])
def test_log_probabilities_are_those_of_plain_forward_passes(architecture: str, name: str) -> None:
    """Of the processed distribution, left padding, packed pairs and early ends included."""
    model, raw = pair(architecture, end_tokens=ENDS)
    drawn = draw(model, with_given(pairs()), sampler(DISTRIBUTIONS.get(name, Greedy())))
    mask = drawn.token_mask()
    ended = mask.any(-1) & ~mask.all(-1)
    assert ended.any()
    scored = model.score(drawn).completions.detach()
    torch.testing.assert_close(drawn.log_probs, scored, atol=1e-8, rtol=0)
    assert (drawn.log_probs[~mask] == 0).all()
    assert (drawn.completions[~mask] == 0).all()
    if name == "greedy":
        assert (drawn.log_probs == 0).all()
        assert (drawn.completions == drawn.completions[:, :, :1]).all()
        return
    expected = one_branch_at_a_time(raw, drawn)
    assert expected.isfinite().all()
    torch.testing.assert_close(drawn.log_probs, expected, atol=1e-8, rtol=0)


@pytest.mark.parametrize("architecture", CONFIGURATIONS)
def test_greedy_tokens_are_those_of_generate(architecture: str) -> None:
    model, raw = pair(architecture, end_tokens=ENDS)
    batch = with_given(pairs())
    drawn = draw(model, batch, sampler(Greedy(), samples=2))
    lengths = set()
    for row, place in drawn.anchor_mask.nonzero().tolist():
        prefix = torch.tensor([prefix_of(batch, row, int(drawn.anchors[row, place]))])
        expected = raw.generate(
            prefix,
            attention_mask=torch.ones_like(prefix),
            do_sample=False,
            max_new_tokens=24,
            eos_token_id=list(ENDS),
            pad_token_id=0,
        )[0, prefix.shape[1] :]
        for sample in range(2):
            mask = drawn.completion_mask[row, place, sample]
            assert drawn.completions[row, place, sample][mask].tolist() == expected.tolist()
        lengths.add(len(expected))
    assert len(lengths) > 1


def test_completions_end_at_any_of_several_end_tokens() -> None:
    model, _ = pair(end_tokens=ENDS)
    drawn = draw(model, pairs(), AutoregressiveSampler(24, 16, Categorical(2.0)))
    mask = drawn.token_mask()
    lengths = mask.sum(-1)[drawn.anchor_mask]
    ends = torch.isin(drawn.completions, torch.tensor(ENDS)) & mask
    assert (ends.sum(-1) <= 1).all()
    last = drawn.completions.gather(-1, (mask.sum(-1, keepdim=True) - 1).clamp(min=0)).squeeze(-1)
    stopped = last[drawn.anchor_mask][lengths < 24]
    assert torch.isin(stopped, torch.tensor(ENDS)).all()
    assert len(stopped.unique()) > 2
    assert len(lengths.unique()) > 5


@pytest.mark.parametrize("horizon", [2, 30])
def test_references_are_all_that_is_left_of_the_pair(horizon: int) -> None:
    """Shorter or longer than the completions, and none after a prompt that stands alone."""
    model = TabularLanguageModel(5, 2, end_tokens=[1, 3], generator=seeded(0))
    batch = with_given(pairs(5))
    drawn = draw(model, batch, sampler(horizon=horizon))
    assert drawn.completions.shape == (5, 2, 3, horizon)
    assert drawn.references.shape == (5, 2, 9)
    spans = {(0, 0): (11, 20), (1, 0): (3, 9), (2, 0): (6, 11), (2, 1): (15, 20)}
    for row, place in itertools.product(range(5), range(2)):
        begin, end = spans.get((row, place), (0, 0))
        found = drawn.references[row, place][drawn.reference_mask[row, place]]
        assert found.tolist() == batch.sequences[row, begin:end].tolist()
    assert drawn.anchor_mask[3, 0]
    assert drawn.completion_mask[3, 0, :, 0].all()
    assert drawn.batch is batch


def test_completions_begin_where_prompts_end_unless_told_otherwise() -> None:
    model = TabularLanguageModel(5, 2, generator=seeded(0))
    drawn = draw(model, pairs(5), AutoregressiveSampler(4, 2))
    expected = [[11], [3], [6, 15], [], []]
    for row, anchors in enumerate(expected):
        assert drawn.anchors[row][drawn.anchor_mask[row]].tolist() == anchors
    inside = AutoregressiveSampler(4, 2, anchors=CompletionAnchors(stride=3))
    drawn = draw(model, pairs(5), inside)
    assert drawn.anchors[2][drawn.anchor_mask[2]].tolist() == [6, 9, 15, 18]


def test_a_batch_without_any_prompt_draws_nothing() -> None:
    for model in (TabularLanguageModel(5, 2, generator=seeded(0)), pair()[0]):
        for rows in ((3, 4), (4, 5), (3, 5)):
            drawn = draw(model, pairs(5).rows(*rows), AutoregressiveSampler(4, 2))
            assert not drawn.anchor_mask.any()
            assert not drawn.token_mask().any()
            assert not drawn.reference_mask.any()


@given(prompts(vocabulary=4), st.integers(1, 12), st.integers(0, 99))
def test_both_samplers_draw_the_same(batch: SequenceBatch, horizon: int, seed: int) -> None:
    """At the same anchors with the same generator; only references are of another length."""
    model = TabularLanguageModel(4, 3, end_tokens=[1, 2], generator=seeded(0))
    ours = draw(model, batch, sampler(horizon=horizon), seed)
    block = BlockParallelSampler(GivenAnchors(), horizon, 3)
    theirs = block.sample(model, batch, generator=seeded(seed))
    for name in ("anchors", "anchor_mask", "completions", "completion_mask", "log_probs"):
        assert torch.equal(getattr(ours, name), getattr(theirs, name))
    shared = min(horizon, ours.references.shape[-1])
    assert torch.equal(ours.references[..., :shared], theirs.references[..., :shared])
    assert torch.equal(ours.reference_mask[..., :shared], theirs.reference_mask[..., :shared])
    assert not theirs.reference_mask[..., shared:].any()


def test_a_horizon_past_the_longest_position_is_refused() -> None:
    model, _ = pair(end_tokens=())
    # The longest of the prompts, padding left out, has six tokens, and the model 64 positions.
    drawn = draw(model, pairs(), AutoregressiveSampler(58, 1))
    assert drawn.completions.shape[-1] == 58
    with pytest.raises(UserError, match=r"65 positions .* has 64 .* or a shorter horizon"):
        draw(model, pairs(), AutoregressiveSampler(59, 1))


@pytest.mark.parametrize(
    ("options", "message"), [({"horizon": 0}, "horizon is 0"), ({"samples": -1}, "samples is -1")]
)
def test_sizes_under_one_are_refused(options: dict[str, int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        AutoregressiveSampler(**options)  # type: ignore[arg-type]


def test_text_without_prompts_is_refused() -> None:
    model = TabularLanguageModel(5, 2, generator=seeded(0))
    batch = dataclasses.replace(pairs(5), targets=None)
    with pytest.raises(UserError, match="does not say what is a prompt"):
        draw(model, batch, AutoregressiveSampler(4, 2))


@pytest.mark.parametrize("horizon", [3, 24])
def test_energies_judge_completions_beside_longer_and_shorter_references(horizon: int) -> None:
    """And look at nothing after an end, in padding, or past a reference."""
    model, _ = pair(end_tokens=ENDS)
    features = HiddenStateFeatures(model.frozen(), pooling=MeanToken())
    energy = FeatureMatchingEnergy(features) + 0.1 * KLEnergy()
    drawn = draw(model, with_given(pairs()), sampler(horizon=horizon))
    assert drawn.references.shape[-1] == 9
    found = judged(energy, drawn, model)
    assert found.isfinite().all()
    real, mask = drawn.sequence_mask, drawn.token_mask()
    other = dataclasses.replace(
        drawn,
        batch=dataclasses.replace(
            drawn.batch, sequences=torch.where(real, drawn.sequences, VOCABULARY - 1)
        ),
        completions=torch.where(mask, drawn.completions, 1),
        references=torch.where(drawn.reference_mask, drawn.references, 2),
    )
    torch.testing.assert_close(judged(energy, other, model), found, atol=1e-8, rtol=0)
    references = features(drawn).references
    assert references is not None
    for row, place in drawn.anchor_mask.nonzero().tolist():
        vector = references[row, place]
        # A prompt that stands alone has nothing to be matched.
        assert bool(vector.any()) == bool(drawn.reference_mask[row, place].any())


def judged(energy: Any, rollouts: Rollouts, model: Any) -> Tensor:
    policy = model.score(rollouts).completions.detach()
    terms = energy(rollouts, Scores(policy, policy - rollouts.token_mask() * 0.5))
    assert terms.pairwise is not None
    return torch.cat([terms.unary.flatten(), terms.pairwise.flatten()])
