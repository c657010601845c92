"""Rollouts drawn again from some token on."""

from __future__ import annotations

import pytest
import torch

from ebmlm.distribution import Categorical
from ebmlm.rollouts import SequenceBatch
from ebmlm.samplers import AutoregressiveSampler, BlockParallelSampler, GivenAnchors, StridedAnchors
from ebmlm.samplers.randomness import sequence_uniforms
from ebmlm.samplers.resumption import resume
from ebmlm.testing import TabularLanguageModel
from tests.helpers import packed_batch, pair, seeded

MODELS = {
    "table": lambda: TabularLanguageModel(5, 3, end_tokens=(1,), generator=seeded(0)),
    "llama": lambda: pair(end_tokens=(5, 7))[0],
}


def _batch(name: str) -> SequenceBatch:
    return packed_batch(vocabulary=5) if name == "table" else packed_batch()


@pytest.mark.parametrize("name", MODELS)
def test_with_nothing_kept_it_draws_what_a_sampler_draws(name: str) -> None:
    model, batch = MODELS[name](), _batch(name)
    sampler = BlockParallelSampler(StridedAnchors(4, 3), 4, 2, Categorical(1.5))
    drawn = sampler.sample(model, batch, generator=seeded(3))
    uniforms = sequence_uniforms(batch.ids, tuple(drawn.completions.shape[1:]), seeded(3))
    none = torch.zeros(drawn.completions.shape[:3], dtype=torch.long)
    found = resume(model, drawn, none, uniforms)
    valid = drawn.anchor_mask
    assert torch.equal(found.completions[valid], drawn.completions[valid])
    assert torch.equal(found.completion_mask[valid], drawn.completion_mask[valid])
    torch.testing.assert_close(found.log_probs[valid], drawn.log_probs[valid], atol=1e-9, rtol=0)


@pytest.mark.parametrize("name", MODELS)
def test_what_is_kept_stays_and_the_same_numbers_draw_the_same_rest(name: str) -> None:
    """Also where every rollout keeps another number of tokens, and some had ended before."""
    model, batch = MODELS[name](), _batch(name)
    sampler = BlockParallelSampler(StridedAnchors(4, 3), 4, 3, Categorical(1.5))
    drawn = sampler.sample(model, batch, generator=seeded(3))
    uniforms = sequence_uniforms(batch.ids, tuple(drawn.completions.shape[1:]), seeded(3))
    kept = torch.randint(0, 6, drawn.completions.shape[:3], generator=seeded(1))
    found = resume(model, drawn, kept, uniforms)
    valid = drawn.anchor_mask
    assert torch.equal(found.completions[valid], drawn.completions[valid])
    assert torch.equal(found.completion_mask[valid], drawn.completion_mask[valid])
    torch.testing.assert_close(found.log_probs[valid], drawn.log_probs[valid], atol=1e-9, rtol=0)
    other = resume(model, drawn, kept, uniforms.flip(-1))
    place = torch.arange(4)
    stays = (place < kept.unsqueeze(-1)) & drawn.token_mask()
    assert torch.equal(other.completions[stays], drawn.completions[stays])
    assert not torch.equal(other.completions, drawn.completions)
    scored = model.score(other).completions.detach()
    recorded = torch.where(other.token_mask(), other.log_probs, 0)
    torch.testing.assert_close(recorded.to(scored.dtype), scored, atol=1e-6, rtol=0)


def test_it_stops_where_it_is_told_to() -> None:
    model = TabularLanguageModel(4, 2, generator=seeded(0))
    batch = SequenceBatch.of(torch.tensor([[0, 1, 2, 3]]), anchors=torch.tensor([[2]]))
    drawn = AutoregressiveSampler(5, 2, anchors=GivenAnchors()).sample(model, batch)
    uniforms = torch.rand(drawn.completions.shape, dtype=torch.float64)
    two = torch.full((1, 1, 2), 2)
    found = resume(model, drawn, two, uniforms, until=3)
    assert found.completion_mask.sum(-1).flatten().tolist() == [3, 3]
    assert torch.equal(found.completions[..., :2], drawn.completions[..., :2])
    assert not found.completions[..., 3:].any()
    whole = resume(model, found, two + 1, uniforms)
    assert whole.completion_mask.all()
    assert torch.equal(whole.completions[..., :3], found.completions[..., :3])
