"""The laws of an estimator.

Each takes an :class:`~ebmlm.estimators.base.Estimator` and raises where it breaks the law, with a
smallest counterexample (docs/testing.md, "Laws").
"""

from __future__ import annotations

import dataclasses

import torch
from hypothesis import strategies as st
from torch import Tensor

from ebmlm.energies.base import EnergyTerms
from ebmlm.estimators.base import Estimate, Estimator
from ebmlm.testing.laws.cases import (
    Judged,
    judged_rollouts,
    noise,
    orders,
    padded,
    permuted,
    scrambled,
)
from ebmlm.testing.laws.expectation import constants_vanish_in_expectation, unbiased
from ebmlm.testing.laws.proof import EXAMPLES, DoesNotApply, Draw, for_all, require, require_equal
from ebmlm.testing.strategies.numbers import modest_numbers, wild_numbers

__all__ = [
    "ESTIMATOR_LAWS",
    "anchors_do_not_mix",
    "baseline_excludes_its_own_sample",
    "constants_cancel",
    "gradient_flows_through_log_probs_only",
    "loss_is_finite",
    "loss_of_pieces_adds_up",
    "no_credit_after_the_end",
    "padding_moves_no_gradient",
    "samples_are_exchangeable",
]


def constants_cancel(estimator: Estimator, examples: int = EXAMPLES) -> None:
    """Where it asks for two samples, it compares them: a constant moves no gradient at all."""

    def holds(draw: Draw) -> None:
        case = draw(_cases(estimator, 1), "case")
        terms = dataclasses.replace(case.terms, unary=case.terms.unary + 3.0)
        _, expected = _gradient(estimator, case)
        _, found = _gradient(estimator, dataclasses.replace(case, terms=terms))
        require_equal(found, expected, "gradient with 3 added to all energies")

    if estimator.minimum_samples < 2:
        raise DoesNotApply("it asks for one sample, and has nothing to compare it with")
    for_all(holds, examples)


def samples_are_exchangeable(estimator: Estimator, examples: int = EXAMPLES) -> None:
    """Permuting the samples of an anchor permutes its gradient, and changes no loss or metric."""

    def holds(draw: Draw) -> None:
        case = draw(_cases(estimator, 2), "case")
        order = draw(orders(case.rollouts.samples), "order")
        pairs = case.terms.pairwise
        turned = Judged(
            permuted(case.rollouts, order),
            case.log_probs[:, :, order],
            EnergyTerms(
                case.terms.unary[:, :, order],
                None if pairs is None else pairs[:, :, order][..., order],
            ),
        )
        estimate, gradient = _gradient(estimator, case)
        found, turned_gradient = _gradient(estimator, turned)
        _require_same(found, estimate, "with permuted samples")
        require_equal(turned_gradient, gradient[:, :, order], "gradient with permuted samples")

    for_all(holds, examples)


def baseline_excludes_its_own_sample(estimator: Estimator, examples: int = EXAMPLES) -> None:
    """What moves a sample's terms but not its energy moves the baseline of others only."""

    def holds(draw: Draw) -> None:
        case = draw(_cases(estimator, 2), "case")
        samples = case.rollouts.samples
        own = draw(st.integers(0, samples - 1), "sample")
        shifts = torch.zeros(samples, dtype=torch.float64)
        for other in range(samples):
            if other != own:
                shifts[other] = draw(modest_numbers(), f"change of its pair with {other}")
        unary = case.terms.unary.clone()
        unary[:, :, own] -= shifts.sum() / (samples - 1)
        pairs = case.terms.pairwise
        pairs = torch.zeros(*unary.shape, samples, dtype=unary.dtype) if pairs is None else pairs
        pairs = pairs.clone()
        before = EnergyTerms(case.terms.unary, pairs.clone())
        pairs[:, :, own] += shifts
        pairs[:, :, :, own] += shifts
        _, expected = _gradient(estimator, dataclasses.replace(case, terms=before))
        moved = dataclasses.replace(case, terms=EnergyTerms(unary, pairs))
        _, found = _gradient(estimator, moved)
        what = f"gradient of sample {own}, whose energy is the same as before"
        require_equal(found[:, :, own], expected[:, :, own], what)

    if not estimator.takes_pairs:
        raise DoesNotApply("it takes no pairs, by which alone terms move and an energy does not")
    for_all(holds, examples)


def anchors_do_not_mix(estimator: Estimator, examples: int = EXAMPLES) -> None:
    """The energies of one anchor move the gradient at that anchor only."""

    def holds(draw: Draw) -> None:
        case = draw(_cases(estimator, 1), "case")
        rows, places = case.rollouts.anchors.shape
        row = draw(st.integers(0, rows - 1), "sequence")
        place = draw(st.integers(0, places - 1), "place of the anchor")
        unary = case.terms.unary.clone()
        unary[row, place] = noise(1)(unary[row, place])
        other = torch.ones(rows, places, dtype=torch.bool)
        other[row, place] = False
        _, expected = _gradient(estimator, case)
        changed = EnergyTerms(unary, case.terms.pairwise)
        _, found = _gradient(estimator, dataclasses.replace(case, terms=changed))
        what = f"gradient at other anchors than {place} of sequence {row}, whose energies changed"
        require_equal(found[other], expected[other], what)

    for_all(holds, examples)


def no_credit_after_the_end(estimator: Estimator, examples: int = EXAMPLES) -> None:
    """Tokens after the end of a rollout get no gradient, and what stands there changes nothing."""

    def holds(draw: Draw) -> None:
        case = draw(_cases(estimator, 1), "case")
        ended = ~case.rollouts.completion_mask & case.rollouts.anchor_mask[:, :, None, None]
        other = torch.where(ended, noise(2)(case.log_probs), case.log_probs)
        estimate, _ = _gradient(estimator, case)
        found, gradient = _gradient(estimator, dataclasses.replace(case, log_probs=other))
        _require_same(found, estimate, "with other numbers after the ends")
        nothing = torch.zeros_like(gradient[ended])
        require_equal(gradient[ended], nothing, "gradient of tokens after the end", 0.0)

    for_all(holds, examples)


def padding_moves_no_gradient(estimator: Estimator, examples: int = EXAMPLES) -> None:
    """Padding and invalid anchors change nothing, whatever stands there."""

    def holds(draw: Draw) -> None:
        case = draw(_cases(estimator, 1), "case")
        valid, mask = case.rollouts.anchor_mask, case.rollouts.token_mask()
        terms = case.terms
        pairs = terms.pairwise
        other = Judged(
            padded(scrambled(case.rollouts, 3), draw(st.integers(0, 2), "more padding before"), 1),
            torch.where(mask, case.log_probs, noise(4)(case.log_probs)),
            EnergyTerms(
                torch.where(valid[:, :, None], terms.unary, noise(5)(terms.unary)),
                None
                if pairs is None
                else torch.where(valid[:, :, None, None], pairs, noise(6)(pairs)),
            ),
        )
        estimate, gradient = _gradient(estimator, case)
        found, moved = _gradient(estimator, other)
        _require_same(found, estimate, "with other numbers at padding and invalid anchors")
        require_equal(moved[mask], gradient[mask], "gradient of tokens that count")
        nothing = torch.zeros_like(moved[~valid])
        require_equal(moved[~valid], nothing, "gradient at invalid anchors", 0.0)

    for_all(holds, examples)


def loss_of_pieces_adds_up(estimator: Estimator, examples: int = EXAMPLES) -> None:
    """Loss, metrics and gradient of a batch are the means of its sequences', weighed by anchors."""

    def holds(draw: Draw) -> None:
        case = draw(_cases(estimator, 1), "case")
        whole, gradient = _gradient(estimator, case)
        anchors = int(case.rollouts.anchor_mask.sum())
        loss = torch.zeros_like(whole.loss)
        metrics = {name: torch.zeros_like(value) for name, value in whole.metrics.items()}
        pushes = []
        for row in range(len(case.rollouts.batch)):
            rollouts = case.rollouts.rows(row, row + 1)
            pairs = case.terms.pairwise
            terms = EnergyTerms(
                case.terms.unary[row : row + 1],
                None if pairs is None else pairs[row : row + 1],
            )
            piece = Judged(rollouts, case.log_probs[row : row + 1], terms)
            estimate, push = _gradient(estimator, piece)
            share = int(rollouts.anchor_mask.sum()) / max(anchors, 1)
            loss = loss + estimate.loss.detach() * share
            for name, value in estimate.metrics.items():
                metrics[name] = metrics[name] + value * share
            pushes.append(push * share)
        _require_same(Estimate(loss, metrics), whole, "of sequences one by one, weighed by anchors")
        require_equal(torch.cat(pushes), gradient, "gradient of sequences one by one")

    for_all(holds, examples)


def loss_is_finite(estimator: Estimator, examples: int = EXAMPLES) -> None:
    """Any finite energies, equal or up to 1e15 in size, give a finite loss and gradient."""

    def holds(draw: Draw) -> None:
        case = draw(_cases(estimator, 1, wild_numbers()), "case")
        single = draw(st.booleans(), "float32")
        if single:
            pairs = case.terms.pairwise
            terms = EnergyTerms(case.terms.unary.float(), None if pairs is None else pairs.float())
            case = Judged(case.rollouts, case.log_probs.float(), terms)
        estimate, gradient = _gradient(estimator, case)
        require(bool(estimate.loss.isfinite()), f"loss is {float(estimate.loss.detach())}")
        require(bool(gradient.isfinite().all()), "gradient is not finite")
        for name, value in estimate.metrics.items():
            require(bool(value.isfinite().all()), f"{name} is {float(value)}")

    for_all(holds, examples)


def gradient_flows_through_log_probs_only(estimator: Estimator, examples: int = EXAMPLES) -> None:
    """The loss is differentiable in the log-probabilities, and in neither energies nor rollouts."""

    def holds(draw: Draw) -> None:
        case = draw(_cases(estimator, 1), "case")
        log_probs = case.log_probs.clone().requires_grad_(True)
        unary = case.terms.unary.clone().requires_grad_(True)
        pairs = case.terms.pairwise
        pairs = None if pairs is None else pairs.clone().requires_grad_(True)
        drawn = case.rollouts.log_probs.double().requires_grad_(True)
        rollouts = dataclasses.replace(case.rollouts, log_probs=drawn)
        estimate = estimator(log_probs, EnergyTerms(unary, pairs), rollouts)
        require(estimate.loss.requires_grad, "the loss has no gradient at all")
        leaves = {"unary": unary, "pairwise": pairs, "rollouts.log_probs": drawn}
        others = {name: leaf for name, leaf in leaves.items() if leaf is not None}
        found = torch.autograd.grad(estimate.loss, list(others.values()), allow_unused=True)
        for name, push in zip(others, found, strict=True):
            clean = push is None or not push.any()
            require(clean, f"gradient flows into {name}: detach what the weights are made of")
        for name, value in estimate.metrics.items():
            require(not value.requires_grad, f"metric {name} carries a gradient: detach it")

    for_all(holds, examples)


ESTIMATOR_LAWS = (
    unbiased,
    constants_vanish_in_expectation,
    constants_cancel,
    samples_are_exchangeable,
    baseline_excludes_its_own_sample,
    anchors_do_not_mix,
    no_credit_after_the_end,
    padding_moves_no_gradient,
    loss_of_pieces_adds_up,
    loss_is_finite,
    gradient_flows_through_log_probs_only,
)
"""Every law of an estimator."""


def _cases(
    estimator: Estimator, fewest: int, elements: st.SearchStrategy[float] | None = None
) -> st.SearchStrategy[Judged]:
    """Of as many samples as it needs, and at least ``fewest``; with pairs where it takes them."""
    samples = max(fewest, estimator.minimum_samples)
    return judged_rollouts(samples, elements, estimator.takes_pairs)


def _gradient(estimator: Estimator, case: Judged) -> tuple[Estimate, Tensor]:
    """The estimate, and its gradient in the log-probabilities."""
    log_probs = case.log_probs.clone().requires_grad_(True)
    estimate = estimator(log_probs, case.terms, case.rollouts)
    (gradient,) = torch.autograd.grad(estimate.loss, log_probs)
    return estimate, gradient


def _require_same(found: Estimate, expected: Estimate, when: str) -> None:
    require_equal(found.loss, expected.loss, f"loss {when}")
    names = (set(found.metrics), set(expected.metrics))
    require(names[0] == names[1], f"metrics {when} are {names[0]} instead of {names[1]}")
    for name, value in expected.metrics.items():
        require_equal(found.metrics[name], value, f"{name} {when}")
