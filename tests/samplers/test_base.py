"""What every sampler can do: a copy of it that draws from another distribution."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given

from ebmlm.distribution import Categorical, Greedy, TokenDistribution
from ebmlm.language_model import LanguageModel
from ebmlm.rollouts import Rollouts, SequenceBatch
from ebmlm.samplers import BlockParallelSampler, GivenAnchors, Sampler, StridedAnchors
from ebmlm.testing import TabularLanguageModel
from ebmlm.testing.strategies import distributions, prompts
from tests.helpers import packed_batch, seeded


def test_a_copy_draws_from_the_other_distribution_and_the_original_from_its_own() -> None:
    model = TabularLanguageModel(5, 3, generator=seeded(0))
    sampler = BlockParallelSampler(StridedAnchors(4, 3), 4, 3, Categorical(0.6))
    greedy = sampler.with_distribution(Greedy())
    assert type(greedy) is BlockParallelSampler
    assert greedy.anchors is sampler.anchors
    assert (greedy.horizon, greedy.samples) == (4, 3)
    assert sampler.distribution == Categorical(0.6)
    batch = packed_batch(vocabulary=5)
    drawn, own, again = (
        part.sample(model, batch, generator=seeded(1))
        for part in (greedy, sampler, greedy.with_distribution(Categorical(0.6)))
    )
    assert drawn.distribution == Greedy()
    assert (drawn.completions == drawn.completions[:, :, :1]).all()
    assert own.distribution == Categorical(0.6)
    assert not (own.completions == own.completions[:, :, :1]).all()
    assert torch.equal(again.completions, own.completions)


@given(prompts(), distributions(truncated=True))
def test_a_copy_is_what_would_have_been_made_with_it(
    batch: SequenceBatch, distribution: TokenDistribution
) -> None:
    model = TabularLanguageModel(3, 2, end_tokens=[1], generator=seeded(0))
    copied = BlockParallelSampler(GivenAnchors(), 2, 2, Greedy()).with_distribution(distribution)
    made = BlockParallelSampler(GivenAnchors(), 2, 2, distribution)
    found, expected = (part.sample(model, batch, generator=seeded(3)) for part in (copied, made))
    assert torch.equal(found.completions, expected.completions)
    assert torch.equal(found.log_probs, expected.log_probs)
    assert found.distribution == distribution


class _Own(Sampler):
    """Somebody's own, with a setting more."""

    def __init__(self, setting: int) -> None:
        self.anchors = GivenAnchors()
        self.horizon, self.samples, self.distribution = 1, 1, Categorical()
        self.setting = setting

    def sample(
        self,
        model: LanguageModel,
        batch: SequenceBatch,
        *,
        generator: torch.Generator | None = None,
    ) -> Rollouts:
        raise NotImplementedError(f"{self.setting} from {self.distribution}")


def test_a_copy_of_a_sampler_of_ones_own_keeps_its_settings() -> None:
    own = _Own(7).with_distribution(Categorical(0.5))
    with pytest.raises(NotImplementedError, match=r"7 from Categorical\(temperature=0\.5"):
        own.sample(TabularLanguageModel(2, 1), packed_batch())
