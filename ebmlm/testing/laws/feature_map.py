"""The laws of a feature map.

Each takes a :class:`~ebmlm.features.base.FeatureMap` and the number of token ids that it
understands, and raises where it breaks the law, with a smallest counterexample (docs/testing.md,
"Laws").
"""

from __future__ import annotations

import dataclasses

import torch
from hypothesis import strategies as st
from torch import Tensor

from ebmlm.features.base import FeatureMap, Features
from ebmlm.rollouts import Rollouts
from ebmlm.testing.laws.cases import ReadableRollouts, at_valid, padded, scrambled
from ebmlm.testing.laws.proof import EXAMPLES, Draw, for_all, require, require_equal
from ebmlm.testing.strategies.rollouts import rollouts as any_rollouts

__all__ = [
    "FEATURE_MAP_LAWS",
    "features_are_as_wide_as_declared",
    "features_are_finite",
    "features_carry_no_gradient",
    "neighbours_move_no_feature",
    "padding_moves_no_feature",
    "samples_are_seen_alone",
]


def padding_moves_no_feature(
    features: FeatureMap, examples: int = EXAMPLES, *, vocabulary: int = 3
) -> None:
    """Padding, its side and amount, and what stands at it or after an end, change nothing."""

    def holds(draw: Draw) -> None:
        drawn = draw(any_rollouts(vocabulary).map(ReadableRollouts), "rollouts").rollouts
        before = draw(st.integers(0, 2), "more padding before")
        after = draw(st.integers(0, 2), "more padding after")
        other = padded(scrambled(drawn, 9, vocabulary), before, after, vocabulary - 1)
        _require_same(features(other), features(drawn), drawn, "with other padding")

    for_all(holds, examples)


def neighbours_move_no_feature(
    features: FeatureMap, examples: int = EXAMPLES, *, vocabulary: int = 3
) -> None:
    """The features of a sequence's rollouts do not depend on what else is in the batch."""

    def holds(draw: Draw) -> None:
        drawn = draw(any_rollouts(vocabulary).map(ReadableRollouts), "rollouts").rollouts
        whole = features(drawn)
        for row in range(len(drawn.batch)):
            alone = drawn.rows(row, row + 1)
            real = whole.references
            expected = Features(
                whole.rollouts[row : row + 1],
                None if real is None else real[row : row + 1],
                whole.blocks,
            )
            _require_same(features(alone), expected, alone, f"of sequence {row} alone")

    for_all(holds, examples)


def samples_are_seen_alone(
    features: FeatureMap, examples: int = EXAMPLES, *, vocabulary: int = 3
) -> None:
    """The features of a rollout do not depend on the other samples of its anchor."""

    def holds(draw: Draw) -> None:
        drawn = draw(any_rollouts(vocabulary).map(ReadableRollouts), "rollouts").rollouts
        whole = features(drawn)
        for sample in range(drawn.samples):
            own = slice(sample, sample + 1)
            alone = dataclasses.replace(
                drawn,
                completions=drawn.completions[:, :, own],
                completion_mask=drawn.completion_mask[:, :, own],
                log_probs=drawn.log_probs[:, :, own],
            )
            expected = Features(whole.rollouts[:, :, own], whole.references, whole.blocks)
            _require_same(features(alone), expected, alone, f"of sample {sample} alone")

    for_all(holds, examples)


def features_carry_no_gradient(
    features: FeatureMap, examples: int = EXAMPLES, *, vocabulary: int = 3
) -> None:
    """Features carry no gradient, so that none reaches the network that they come from."""

    def holds(draw: Draw) -> None:
        drawn = draw(any_rollouts(vocabulary).map(ReadableRollouts), "rollouts").rollouts
        with torch.enable_grad():
            found = features(drawn)
        for name, value in (("rollouts", found.rollouts), ("references", found.references)):
            clean = value is None or not value.requires_grad
            require(clean, f"{name} carry a gradient: compute them under torch.no_grad()")

    for_all(holds, examples)


def features_are_as_wide_as_declared(
    features: FeatureMap, examples: int = EXAMPLES, *, vocabulary: int = 3
) -> None:
    """Rollouts and references are as wide as their blocks say, whatever the batch."""

    def holds(draw: Draw) -> None:
        drawn = draw(any_rollouts(vocabulary).map(ReadableRollouts), "rollouts").rollouts
        found = features(drawn)
        width = sum(found.blocks)
        shape = (*drawn.completions.shape[:3], width)
        told = tuple(found.rollouts.shape)
        require(told == shape, f"rollouts have shape {told} and blocks say {shape}")
        if found.references is not None:
            shape = (*drawn.anchors.shape, width)
            told = tuple(found.references.shape)
            require(told == shape, f"references have shape {told} and blocks say {shape}")
        first = drawn.rows(0, 1)
        alone = features(first).blocks
        require(alone == found.blocks, f"blocks {alone} for one row and {found.blocks} for all")
        declared = features.blocks
        same = declared is None or declared == found.blocks
        require(same, f"blocks {declared} declared beforehand and {found.blocks} found")

    for_all(holds, examples)


def features_are_finite(
    features: FeatureMap, examples: int = EXAMPLES, *, vocabulary: int = 3
) -> None:
    """Features are finite everywhere, and zero at invalid anchors."""

    def holds(draw: Draw) -> None:
        drawn = draw(any_rollouts(vocabulary).map(ReadableRollouts), "rollouts").rollouts
        found = features(drawn)
        for name, value in (("rollouts", found.rollouts), ("references", found.references)):
            if value is None:
                continue
            require(bool(value.isfinite().all()), f"features of {name} are not finite")
            invalid: Tensor = value[~drawn.anchor_mask]
            nothing = torch.zeros_like(invalid)
            require_equal(invalid, nothing, f"features of {name} at invalid anchors", 0.0)

    for_all(holds, examples)


FEATURE_MAP_LAWS = (
    padding_moves_no_feature,
    neighbours_move_no_feature,
    samples_are_seen_alone,
    features_carry_no_gradient,
    features_are_as_wide_as_declared,
    features_are_finite,
)
"""Every law of a feature map."""


def _require_same(found: Features, expected: Features, where: Rollouts, when: str) -> None:
    require_equal(
        at_valid(found.rollouts, where),
        at_valid(expected.rollouts, where),
        f"features of rollouts {when}",
    )
    there = (found.references is not None, expected.references is not None)
    require(there[0] == there[1], f"features of references {when}: there are, or are not, any")
    if found.references is not None and expected.references is not None:
        pair = (at_valid(found.references, where), at_valid(expected.references, where))
        require_equal(*pair, f"features of references {when}")
