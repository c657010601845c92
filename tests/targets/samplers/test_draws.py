"""What samplers from a target promise beside their distribution."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from ebmlm.energies import LengthEnergy
from ebmlm.errors import UserError
from ebmlm.samplers import BlockParallelSampler, StridedAnchors
from ebmlm.targets import EnergyModel
from ebmlm.targets.chains import r_hat
from ebmlm.targets.samplers import (
    BestOfN,
    ImportanceResampling,
    MetropolisHastings,
    QuasiRejection,
    SequentialMonteCarlo,
    TargetSampler,
    potential_so_far,
)
from ebmlm.targets.samplers.importance import resampled
from ebmlm.testing import TabularLanguageModel
from tests.helpers import packed_batch, padded, seeded

PROPOSAL = BlockParallelSampler(StridedAnchors(4, 3), 3, 4)
SAMPLERS: dict[str, TargetSampler] = {
    "best": BestOfN(PROPOSAL, 2),
    "importance": ImportanceResampling(PROPOSAL, 2),
    "quasi-rejection": QuasiRejection(PROPOSAL, 0.0, 2, rounds=3),
    "metropolis-hastings": MetropolisHastings(PROPOSAL, steps=3),
    "smc": SequentialMonteCarlo(PROPOSAL, 2, twist=potential_so_far),
}
MODEL = TabularLanguageModel(5, 2, end_tokens=(1,), generator=seeded(0))
TARGET = EnergyModel(MODEL.frozen(), LengthEnergy(), 0.5)
BATCH = packed_batch(vocabulary=5)


@pytest.mark.parametrize("name", SAMPLERS)
def test_draws_belong_to_their_sequence(name: str) -> None:
    sampler = SAMPLERS[name]
    whole = sampler.draw(TARGET, BATCH, generator=seeded(1))
    wide = sampler.draw(TARGET, padded(BATCH, 1, 3), generator=seeded(1))
    mask, other = whole.rollouts.anchor_mask, wide.rollouts.anchor_mask
    same = wide.rollouts.completions[other]
    assert torch.equal(same, whole.rollouts.completions[mask])
    for row in range(len(BATCH)):
        alone = sampler.draw(TARGET, BATCH.rows(row, row + 1), generator=seeded(1))
        own = alone.rollouts.completions[alone.rollouts.anchor_mask]
        assert torch.equal(own, whole.rollouts.completions[row][mask[row]])
    again = sampler.draw(TARGET, BATCH, generator=seeded(1))
    assert torch.equal(again.rollouts.completions, whole.rollouts.completions)
    different = sampler.draw(TARGET, BATCH, generator=seeded(2))
    assert not torch.equal(different.rollouts.completions, whole.rollouts.completions)


@pytest.mark.parametrize("name", SAMPLERS)
def test_what_is_returned_is_whole(name: str) -> None:
    draws = SAMPLERS[name].draw(TARGET, BATCH, generator=seeded(1))
    rollouts = draws.rollouts
    samples = 4 if name == "metropolis-hastings" else 2
    assert rollouts.completions.shape == (*rollouts.anchors.shape, samples, 3)
    scored = MODEL.score(rollouts).completions.detach()
    recorded = torch.where(rollouts.token_mask(), rollouts.log_probs, 0)
    torch.testing.assert_close(recorded.to(scored.dtype), scored)
    ended = torch.isin(rollouts.completions, torch.tensor(MODEL.end_tokens)).long()
    expected = ended.cumsum(-1) - ended == 0
    assert torch.equal(
        rollouts.completion_mask[rollouts.anchor_mask], expected[rollouts.anchor_mask]
    )
    for value in draws.diagnostics.values():
        assert value.shape == rollouts.anchors.shape
        assert not value[rollouts.anchor_mask].isnan().any()


def test_nothing_allowed_is_told_not_hidden() -> None:
    class Nothing(LengthEnergy):
        def __call__(self, rollouts, scores):
            terms = super().__call__(rollouts, scores)
            return dataclasses.replace(terms, unary=torch.full_like(terms.unary, torch.inf))

    target = EnergyModel(MODEL.frozen(), Nothing())
    valid = ImportanceResampling(PROPOSAL).draw(target, BATCH).rollouts.anchor_mask
    found = ImportanceResampling(PROPOSAL, 2).draw(target, BATCH).diagnostics
    assert (found["effective_samples"][valid] == 0).all()
    assert (found["log_partition"][valid] == -torch.inf).all()
    found = QuasiRejection(PROPOSAL, samples=2, rounds=2).draw(target, BATCH).diagnostics
    assert (found["missing"][valid] == 2).all()
    assert not found["acceptance"][valid].any()
    found = SequentialMonteCarlo(PROPOSAL, twist=potential_so_far).draw(target, BATCH).diagnostics
    assert (found["log_partition"][valid] == -torch.inf).all()


def test_numbers_are_drawn_with_their_weights() -> None:
    weights = torch.tensor([[[0.1, 0.0, 0.6, 0.3]]], dtype=torch.float64)
    uniforms = torch.tensor([[[0.0, 0.0999, 0.1001, 0.69, 0.71, 0.999999]]], dtype=torch.float64)
    assert resampled(weights.log(), uniforms).flatten().tolist() == [0, 0, 2, 2, 3, 3]
    none = torch.full((1, 1, 4), -torch.inf)
    assert resampled(none, uniforms).flatten().tolist() == [0, 0, 0, 2, 2, 3]


def test_r_hat() -> None:
    values = torch.randn(1, 1, 4, 200, generator=seeded(0), dtype=torch.float64)
    assert float(r_hat(values)) == pytest.approx(1, abs=0.02)
    apart = values + 5 * torch.arange(4.0).view(1, 1, 4, 1)
    within = apart.var(-1).mean(-1)
    pooled = 199 / 200 * within + apart.mean(-1).var(-1)
    torch.testing.assert_close(r_hat(apart), (pooled / within).sqrt())
    assert float(r_hat(torch.zeros(1, 1, 3, 5))) == 1
    still = torch.arange(3.0).view(1, 1, 3, 1).expand(1, 1, 3, 5)
    assert r_hat(still) == torch.inf
    assert r_hat(values[:, :, :1]).isnan()


def test_options_out_of_range() -> None:
    with pytest.raises(UserError, match="samples is 5: keep at least 1 and at most the 4"):
        BestOfN(PROPOSAL, 5)
    with pytest.raises(UserError, match="samples is 0"):
        ImportanceResampling(PROPOSAL, 0)
    with pytest.raises(UserError, match="log_beta is inf"):
        QuasiRejection(PROPOSAL, float("inf"))
    with pytest.raises(UserError, match="rounds is 0"):
        QuasiRejection(PROPOSAL, rounds=0)
    with pytest.raises(UserError, match="4 candidates in 1 rounds and 9"):
        QuasiRejection(PROPOSAL, samples=9, rounds=1).draw(TARGET, BATCH)
    with pytest.raises(UserError, match="steps is 0"):
        MetropolisHastings(PROPOSAL, steps=0)
    with pytest.raises(UserError, match="block is 0"):
        SequentialMonteCarlo(PROPOSAL, block=0)
    with pytest.raises(UserError, match=r"threshold is 1\.5"):
        SequentialMonteCarlo(PROPOSAL, threshold=1.5)


def test_rejection_tells_nothing_of_its_neighbours() -> None:
    """How many rounds a sequence needs is its own affair, and so is what is said of them."""
    sampler = QuasiRejection(BlockParallelSampler(StridedAnchors(4, 3), 3, 2), -4.0, 2, rounds=6)
    whole = sampler.draw(TARGET, BATCH, generator=seeded(1))
    valid = whole.rollouts.anchor_mask
    assert len(whole.diagnostics["candidates"][valid].unique()) > 1
    for row in range(len(BATCH)):
        alone = sampler.draw(TARGET, BATCH.rows(row, row + 1), generator=seeded(1))
        for name, value in whole.diagnostics.items():
            found = alone.diagnostics[name][alone.rollouts.anchor_mask]
            torch.testing.assert_close(found, value[row][valid[row]])
