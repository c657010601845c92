"""Proposals: what is kept, what is refused, and that real models are moved as tables are."""

from __future__ import annotations

import pytest
import torch

from ebmlm.distribution import Categorical
from ebmlm.energies import LengthEnergy
from ebmlm.errors import UserError
from ebmlm.rollouts import Rollouts, SequenceBatch
from ebmlm.samplers import AutoregressiveSampler, GivenAnchors
from ebmlm.targets import EnergyModel
from ebmlm.targets.samplers import (
    IndependentProposal,
    InfillProposal,
    MetropolisHastings,
    MixedProposal,
    SuffixProposal,
)
from ebmlm.testing import check_proposal, tiny_transformer
from tests.helpers import seeded

ENDS = (2,)
MODEL = tiny_transformer(vocabulary=5, end_tokens=ENDS)


def _rollouts(samples: int = 16, horizon: int = 6) -> Rollouts:
    sequences = torch.randint(5, (3, 7), generator=seeded(0))
    batch = SequenceBatch.of(sequences, anchors=torch.tensor([[2], [4], [6]]))
    source = AutoregressiveSampler(horizon, samples, anchors=GivenAnchors())
    return source.sample(MODEL, batch, generator=seeded(1))


def _numbers(rollouts: Rollouts, seed: int = 2) -> torch.Tensor:
    shape = (*rollouts.completions.shape[:3], rollouts.horizon + 1)
    return torch.rand(shape, generator=seeded(seed), dtype=torch.float64)


@pytest.mark.parametrize("width", [1, 2, 8])
def test_a_span_of_a_transformers_completion(width: int) -> None:
    rollouts = _rollouts()
    found = InfillProposal(width).propose(MODEL, rollouts, _numbers(rollouts))
    new = found.rollouts
    assert torch.equal(new.completion_mask, rollouts.completion_mask)
    ended = torch.isin(rollouts.completions, torch.tensor(ENDS))
    assert torch.equal(torch.isin(new.completions, torch.tensor(ENDS)), ended)
    changed = new.completions != rollouts.completions
    moved = found.log_ratio > -torch.inf
    assert moved.any() and not moved.all()
    assert not changed[~moved].any()
    # From the first to the last change there is no more than a span.
    place = torch.arange(rollouts.horizon)
    first = torch.where(changed, place, rollouts.horizon).amin(-1)
    last = torch.where(changed, place, -1).amax(-1)
    assert (last - first + 1).max() <= width
    scored = MODEL.score(new).completions.detach()
    mask = rollouts.token_mask()
    torch.testing.assert_close(new.log_probs[mask].double(), scored[mask].double())
    # p(y') q(y' -> y) / p(y) q(y -> y') by its definition, with the span known to the test.
    before = (mask & ~ended).sum(-1)
    places = (before - width).clamp(min=0) + 1
    start = torch.minimum((_numbers(rollouts)[..., 0] * places).long(), places - 1)
    stop = torch.minimum(start + width, before)
    inside = (place >= start.unsqueeze(-1)) & (place < stop.unsqueeze(-1))
    old = MODEL.score(rollouts).completions.detach().double()
    whole = (scored - old).sum(-1) - torch.where(inside, scored - old, 0).sum(-1)
    torch.testing.assert_close(found.log_ratio[moved], whole[moved], atol=1e-6, rtol=0)


def test_spans_move_chains_of_a_transformer() -> None:
    rollouts = _rollouts()
    target = EnergyModel(MODEL, LengthEnergy(3), 2.0, Categorical(1.1))
    source = AutoregressiveSampler(6, 16, anchors=GivenAnchors())
    mixed = MixedProposal([InfillProposal(2), SuffixProposal(), IndependentProposal()], [2, 1, 1])
    chain = MetropolisHastings(source, mixed, steps=8)
    draws = chain.draw(target, rollouts.batch, generator=seeded(3))
    assert (draws.diagnostics["acceptance"] > 0.2).all()
    assert not draws.diagnostics["ruled_out"].any()
    again = chain.draw(target, rollouts.batch, generator=seeded(3))
    assert torch.equal(again.rollouts.completions, draws.rollouts.completions)
    alone = chain.draw(target, rollouts.batch.rows(1, 2), generator=seeded(3))
    assert torch.equal(alone.rollouts.completions, draws.rollouts.completions[1:2])


def test_a_mixture_moves_each_chain_as_its_choice_would() -> None:
    rollouts, kinds = _rollouts(), [InfillProposal(2), SuffixProposal()]
    numbers = _numbers(rollouts)
    found = MixedProposal(kinds, [1, 3]).propose(MODEL, rollouts, numbers)
    first = numbers[..., 0]
    for kind, mine, within in (
        (kinds[0], first < 0.25, first / 0.25),
        (kinds[1], first >= 0.25, (first - 0.25) / 0.75),
    ):
        own = torch.cat([within.clamp(0, 1 - 2**-53).unsqueeze(-1), numbers[..., 1:]], -1)
        alone = kind.propose(MODEL, rollouts, own)
        torch.testing.assert_close(found.log_ratio[mine], alone.log_ratio[mine])
        assert torch.equal(found.rollouts.completions[mine], alone.rollouts.completions[mine])


def test_checked_in_one_line() -> None:
    check_proposal(MixedProposal([SuffixProposal(), InfillProposal(1)], [1, 2]), examples=5)


def test_options_out_of_range() -> None:
    with pytest.raises(UserError, match="width is 0"):
        InfillProposal(0)
    with pytest.raises(UserError, match="no proposal"):
        MixedProposal([])
    with pytest.raises(UserError, match="2 weights for 1 proposals"):
        MixedProposal([SuffixProposal()], [1, 2])
    with pytest.raises(UserError, match="each must be above 0"):
        MixedProposal([SuffixProposal()], [0.0])
    rollouts = _rollouts(2)
    cut = Rollouts.given(
        rollouts.batch,
        rollouts.anchors,
        rollouts.anchor_mask,
        rollouts.completions,
        Categorical(top_p=0.9),
    )
    with pytest.raises(UserError, match="draw without top_k and top_p"):
        InfillProposal(2).propose(MODEL, cut, _numbers(cut))
