"""The naive twins give the numbers that the fast paths give."""

from __future__ import annotations

import torch

from ebmlm.benchmark import twin_features, twin_log_probs, twin_rollouts
from ebmlm.distribution import Categorical
from ebmlm.rollouts import SequenceBatch
from ebmlm.samplers import BlockParallelSampler, StridedAnchors
from tests.training.runs import VOCABULARY, tiny_policy


def test_twins_agree_with_the_fast_paths() -> None:
    model = tiny_policy()
    model.end_tokens = ()
    tokens = torch.randint(VOCABULARY, (2, 20), generator=torch.Generator().manual_seed(0))
    sampler = BlockParallelSampler(StridedAnchors(4, 4), 3, 3, Categorical(0.7))
    rollouts = sampler.sample(
        model, SequenceBatch.of(tokens), generator=torch.Generator().manual_seed(1)
    )
    with torch.no_grad():
        fast = model.score(rollouts).completions
        for sample in range(3):
            slow = twin_log_probs(model, rollouts, sample)
            torch.testing.assert_close(slow, fast[:, :, sample], rtol=0, atol=2e-5)
        states = model.hidden_states(rollouts, (1, 2)).branches
    for ours, twin in zip(states, twin_features(model, rollouts, (1, 2)), strict=True):
        torch.testing.assert_close(ours, twin, rtol=0, atol=2e-5)


def test_twin_rollouts_at_a_low_temperature_are_the_most_probable_tokens() -> None:
    model = tiny_policy()
    model.end_tokens = ()
    tokens = torch.randint(VOCABULARY, (1, 20), generator=torch.Generator().manual_seed(0))
    sampler = BlockParallelSampler(StridedAnchors(4, 4), 3, 2, Categorical(1e-3))
    rollouts = sampler.sample(model, SequenceBatch.of(tokens))
    assert torch.equal(twin_rollouts(model, rollouts), rollouts.completions)
