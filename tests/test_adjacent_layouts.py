"""Three layouts that are easy to get wrong, and are wrong in public code.

Each wrong one is written out here, shown to differ, and shown not to be ours.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from ebmlm.distribution import Categorical
from ebmlm.energies import EnergyTerms
from ebmlm.estimators import RLOO, mean_token_log_prob
from ebmlm.layout import PrefixTree
from tests.helpers import LAYERS, draw, one_branch_at_a_time, packed_batch, pair, seeded


def test_a_token_is_scored_by_its_parent_and_not_by_its_neighbour_in_memory() -> None:
    """The first token of a branch stands in memory after the last token of another branch."""
    model, raw = pair()
    rollouts = draw(model, packed_batch())
    tree = PrefixTree.of(rollouts)
    mask = rollouts.token_mask()
    with torch.no_grad():
        states = model.hidden_states(rollouts, [LAYERS])
        memory = torch.cat([states.trunk[0], states.branches[0].flatten(1, 3)], dim=1)
        log_probs = model.model.lm_head(memory).log_softmax(-1)
        neighbours = log_probs[:, tree.trunk_length - 1 : -1]
        wrong = neighbours.gather(-1, tree.tokens[:, tree.trunk_length :, None])
        ours = model.score(rollouts).completions
    wrong = torch.where(mask, wrong.view(mask.shape), 0)
    expected = one_branch_at_a_time(raw, rollouts)
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=0)
    # Later tokens do follow their parent in memory; first ones do not.
    torch.testing.assert_close(wrong[..., 1:], expected[..., 1:], atol=1e-5, rtol=0)
    assert ((wrong - expected)[..., 0].abs()[rollouts.anchor_mask] > 0.1).float().mean() > 0.5
    before = torch.arange(tree.trunk_length - 1, tree.tokens.shape[1] - 1).view(mask.shape[1:])
    assert not torch.equal(tree.parents[0], before)


def test_advantages_are_spread_in_the_order_anchor_sample_token() -> None:
    """The surrogate's gradient in each log-probability is that of a loop over tokens."""
    model, _ = pair()
    rollouts = draw(model, packed_batch(), samples=3)
    rows, anchors, samples, tokens = rollouts.completions.shape
    assert len({anchors, samples, tokens}) == 3
    unary = torch.randn(rows, anchors, samples, dtype=torch.float64, generator=seeded(1))
    log_probs = torch.zeros_like(rollouts.log_probs).requires_grad_(True)
    loss = RLOO(mean_token_log_prob)(log_probs, EnergyTerms(unary), rollouts).loss
    (gradient,) = torch.autograd.grad(loss, log_probs)

    expected = torch.zeros_like(gradient)
    valid = int(rollouts.anchor_mask.sum())
    for row in range(rows):
        for anchor in range(anchors):
            for sample in range(samples):
                others = [unary[row, anchor, i] for i in range(samples) if i != sample]
                advantage = unary[row, anchor, sample] - sum(others) / len(others)
                length = int(rollouts.completion_mask[row, anchor, sample].sum())
                for token in range(length):
                    if rollouts.anchor_mask[row, anchor]:
                        expected[row, anchor, sample, token] = advantage / length / samples / valid
    torch.testing.assert_close(gradient, expected, atol=1e-12, rtol=0)
    flat = expected.sum(-1).flatten(1)
    wrong: Tensor = flat.repeat(1, tokens).view(expected.shape)
    assert (wrong - expected).abs().max() > 1e-3


def test_what_was_drawn_at_a_temperature_is_scored_at_it() -> None:
    model, raw = pair()
    rollouts = draw(model, packed_batch(), Categorical(0.6))
    with torch.no_grad():
        ours = model.score(rollouts).completions
    expected = one_branch_at_a_time(raw, rollouts)
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=0)
    wrong = one_branch_at_a_time(raw, dataclasses.replace(rollouts, distribution=Categorical()))
    assert (ours - wrong).abs().max() > 0.1
