"""The laws of a proposal of Metropolis-Hastings chains.

Each takes a :class:`~ebmlm.targets.samplers.Proposal` and raises where it breaks the law, with a
smallest counterexample (docs/testing.md, "Laws").
"""

from __future__ import annotations

import torch
from torch import Tensor

from ebmlm.rollouts import Rollouts
from ebmlm.samplers.anchors import GivenAnchors, StridedAnchors
from ebmlm.samplers.autoregressive import AutoregressiveSampler
from ebmlm.samplers.block_parallel import BlockParallelSampler
from ebmlm.samplers.randomness import sequence_uniforms
from ebmlm.targets.samplers.proposals import Proposal, Proposed
from ebmlm.testing.every_number import every_number
from ebmlm.testing.laws.proof import EXAMPLES, Draw, for_all, require, require_equal
from ebmlm.testing.laws.sampled import Sampling, samplings
from ebmlm.testing.laws.target_exact import at_every_completion
from ebmlm.testing.laws.target_worlds import ListedTarget, drawn_numbers, listed_targets

__all__ = [
    "PROPOSAL_LAWS",
    "proposals_are_balanced",
    "proposals_are_their_chains_own",
    "proposals_are_whole_and_scored",
]

_EXACT = 1e-10
_CELLS = 12
_SOURCE = BlockParallelSampler(StridedAnchors(2, 2), 3, 2)


def proposals_are_balanced(proposal: Proposal, examples: int = EXAMPLES) -> None:
    """Accepted by weight and ratio, a move is as frequent as its way back, to 1e-10.

    Detailed balance, for every pair of completions of two and of three tokens and every combination
    of uniform numbers; under targets and under the language model itself.
    """
    for horizon in (2, 3):
        source = AutoregressiveSampler(horizon, 1, anchors=GivenAnchors())
        for world in listed_targets(source, source.distribution):
            number, log_ratio = _moves(proposal, world, horizon)
            for weights in (world.weights, torch.ones_like(world.weights)):
                target = world.proposed * weights
                flow = _flow(number, log_ratio, target, weights)
                what = f"flow from each completion to each, and back, {world}"
                require_equal(flow, flow.mT, what, _EXACT)


def proposals_are_whole_and_scored(proposal: Proposal, examples: int = EXAMPLES) -> None:
    """Proposals end where they should, and record what the language model scores them with."""

    def holds(draw: Draw) -> None:
        sampling = draw(samplings(_SOURCE), "sampling")
        rollouts = sampling.draw(_SOURCE)
        proposed = proposal.propose(sampling.model, rollouts, _numbers(sampling, rollouts))
        new = proposed.rollouts
        require(new.batch is rollouts.batch, "the text is another")
        require(not bool(proposed.log_ratio.isnan().any()), "log_ratio is not a number")
        ends = torch.tensor(sampling.model.end_tokens, dtype=torch.long)
        mask = new.token_mask()
        ended = torch.isin(new.completions, ends).long()
        expected = (ended.cumsum(-1) - ended == 0) & new.anchor_mask[:, :, None, None]
        require_equal(mask.long(), expected.long(), "tokens that count (1) or not (0)", 0.0)
        scored = sampling.model.score(new).completions
        recorded = new.log_probs.to(scored.dtype)[mask]
        require_equal(recorded, scored[mask], "recorded log-probabilities, against scores")

    for_all(holds, examples)


def proposals_are_their_chains_own(proposal: Proposal, examples: int = EXAMPLES) -> None:
    """What is proposed to a chain depends on it and its numbers; who is not asked stays."""

    def holds(draw: Draw) -> None:
        sampling = draw(samplings(_SOURCE), "sampling")
        rollouts = sampling.draw(_SOURCE)
        numbers = _numbers(sampling, rollouts)
        whole = proposal.propose(sampling.model, rollouts, numbers)
        for row in range(len(rollouts.batch)):
            alone = proposal.propose(
                sampling.model, rollouts.rows(row, row + 1), numbers[row : row + 1]
            )
            own = Proposed(whole.rollouts.rows(row, row + 1), whole.log_ratio[row : row + 1])
            _require_same(alone, own, f"of sequence {row} alone")
        asked = numbers[..., 0] < 0.5
        some = proposal.propose(sampling.model, rollouts, numbers, asked)
        for name in ("completions", "log_probs"):
            old, new, found = (
                torch.where(one.token_mask(), getattr(one, name), 0)
                for one in (rollouts, whole.rollouts, some.rollouts)
            )
            expected = torch.where(asked.unsqueeze(-1), new, old.to(new.dtype))
            require_equal(found.to(new.dtype), expected, f"{name} where half are asked")

    for_all(holds, examples)


PROPOSAL_LAWS = (
    proposals_are_balanced,
    proposals_are_whole_and_scored,
    proposals_are_their_chains_own,
)
"""Every law of a proposal."""


def _moves(proposal: Proposal, world: ListedTarget, horizon: int) -> tuple[Tensor, Tensor]:
    """Where each completion goes, and the log ratio: (combination of numbers, completion)."""
    states = len(world.completions)

    def run(rows: int) -> tuple[Tensor, Tensor]:
        here = at_every_completion(world, rows)
        numbers = sequence_uniforms(here.batch.ids, (1, 1, 1 + horizon), None)
        found = proposal.propose(world.model, here, numbers)
        number = drawn_numbers(found.rollouts, world.completions)[:, 0]
        return number.view(rows, states), found.log_ratio[:, 0, 0].double().view(rows, states)

    number, log_ratio = every_number(run, world.model, world.token_cells, _CELLS)
    wrong = (number < 0) & (log_ratio > -torch.inf)
    require(not bool(wrong.any()), f"what cannot be drawn is proposed, {world}")
    return number, log_ratio


def _flow(number: Tensor, log_ratio: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Probability (from, to) that a chain that follows the target moves so, off the diagonal."""
    states = len(target)
    where = number.clamp(min=0)
    change = weights[where].log() - weights.log()
    accepted = torch.where(target > 0, (change + log_ratio).clamp(max=0).exp(), 0)
    accepted = torch.where(log_ratio == -torch.inf, 0, accepted)
    here = torch.arange(states).expand_as(where)
    flow = torch.zeros(states * states).double()
    flow.index_add_(0, (here * states + where).flatten(), (target * accepted).flatten())
    flow = flow.view(states, states) / len(number)
    return flow - flow.diagonal().diag()


def _numbers(sampling: Sampling, rollouts: Rollouts) -> Tensor:
    shape = (*rollouts.completions.shape[1:3], 1 + rollouts.horizon)
    generator = torch.Generator().manual_seed(sampling.seed + 1)
    return sequence_uniforms(rollouts.batch.ids, shape, generator)


def _require_same(found: Proposed, expected: Proposed, when: str) -> None:
    mask = expected.rollouts.token_mask()
    require_equal(found.rollouts.token_mask().long(), mask.long(), f"tokens that count {when}", 0.0)
    for name in ("completions", "log_probs"):
        pair = [getattr(one.rollouts, name)[mask] for one in (found, expected)]
        require_equal(pair[0], pair[1], f"{name} {when}")
    valid = expected.rollouts.anchor_mask
    require_equal(found.log_ratio[valid], expected.log_ratio[valid], f"log_ratio {when}")
