"""Views by hand: one that is computed, one that holds what it is given."""

from __future__ import annotations

from typing import Any

import torch

from ebmlm.energies import EnergyTerms, feature_matching_terms
from ebmlm.exploration import AnchorView, FeatureView, RolloutView, Seen
from ebmlm.features import Features
from ebmlm.rollouts import SequenceBatch
from ebmlm.texts import Texts
from tests.helpers import made_rollouts, seeded
from tests.models.conftest import tiny_tokeniser

TEXT = "one two three four"
# Three rollouts at each of two anchors; the second anchor's last two are the same.
DRAWN = [["ab  ", " \nz<", "abc"], ["thre", "x y ", "x y "]]


def texts() -> Texts:
    return Texts(tiny_tokeniser(eos_token="<end>"), {})


def seen(*, references: bool = True, other: float = 0.0) -> Seen:
    tokeniser = tiny_tokeniser(eos_token="<end>")

    def ids(text: str) -> list[int]:
        found: list[int] = tokeniser(text, add_special_tokens=False)["input_ids"]
        return found

    end = int(tokeniser.eos_token_id)
    completions = torch.zeros(1, 3, 3, 4, dtype=torch.long)
    mask = torch.zeros(1, 3, 3, 4, dtype=torch.bool)
    for anchor, group in enumerate(DRAWN):
        for sample, text in enumerate(group):
            tokens = [*ids(text), end][:4]
            completions[0, anchor, sample, : len(tokens)] = torch.tensor(tokens)
            mask[0, anchor, sample, : len(tokens)] = True
    rollouts = made_rollouts(
        SequenceBatch.of(torch.tensor([ids(TEXT)]), ids=torch.tensor([41])),
        torch.tensor([[4, 8, 0]]),
        completions,
        anchor_mask=torch.tensor([[True, True, False]]),
        completion_mask=mask,
    )
    vectors = torch.randn(1, 3, 3, 5, generator=seeded(0))
    vectors[0, 1, 2] = vectors[0, 1, 1]
    real = torch.randn(1, 3, 5, generator=seeded(1))
    features = Features(vectors, real, (5,))
    matched = feature_matching_terms(features, rollouts.anchor_mask)
    added = EnergyTerms(torch.full((1, 3, 3), -other))
    return Seen(
        rollouts,
        features if references else Features(vectors, None, (5,)),
        matched,
        matched + added,
        torch.randn(1, 3, 3, generator=seeded(2)),
    )


def rollout_view(text: str = "a", **changes: Any) -> RolloutView:
    given: dict[str, Any] = {
        "text": text,
        "tokens": 4,
        "ended": False,
        "same_as": None,
        "reward": 0.25,
        "alignment": 0.75,
        "diversity": 0.5,
        "advantage": -0.125,
        "shared": (0.1, 0.2),
        "own": (0.3, -0.4),
    }
    return RolloutView(**(given | changes))


def anchor_view(*rollouts: RolloutView, **changes: Any) -> AnchorView:
    size = len(rollouts)
    given: dict[str, Any] = {
        "row": 3,
        "place": 16,
        "context": "before",
        "cut": True,
        "real": "after",
        "rollouts": rollouts,
        "reference_shared": (0.0, 0.0),
        "reference_own": (0.0, 0.5),
        "own_shares": (0.6, 0.3),
        "cosines": ((1.0,) * (size + 1),) * (size + 1),
        "pairs": ((0.5,) * size,) * size,
        "distinct": size,
        "effective": 1.5,
    }
    return AnchorView(**(given | changes))


def feature_view(*anchors: AnchorView, **facts: str) -> FeatureView:
    return FeatureView(facts, anchors, 5, (0.5, 0.25, 0.25), 2.83)
