"""Anchor placements by the policy and the run's texts, so that a configuration can name them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from ebmlm.language_model import LanguageModel
from ebmlm.objectives.matched_features import needed_texts
from ebmlm.samplers.anchors import AnchorPlacement
from ebmlm.samplers.surprising_anchors import SurprisingAnchors
from ebmlm.texts import Texts

__all__ = ["AnchorRecipe", "placed", "surprising_anchors"]

AnchorRecipe: TypeAlias = Callable[[LanguageModel, Texts], AnchorPlacement]
"""Makes an anchor placement for a policy and the texts of a run."""


def placed(
    model: LanguageModel,
    texts: Texts | None,
    anchors: AnchorPlacement | AnchorRecipe | None,
    default: AnchorPlacement,
) -> AnchorPlacement:
    """Return a placement that is one already, or what a recipe makes, or the default for None.

    Raises:
        UserError: for a recipe and no texts.
    """
    if anchors is None:
        return default
    # A placement can be called too, with a batch.
    if isinstance(anchors, AnchorPlacement):
        return anchors
    return anchors(model, needed_texts(texts, "anchors"))


def surprising_anchors(
    model: LanguageModel,
    texts: Texts | None = None,
    *,
    candidates: AnchorPlacement,
    share: float = 0.5,
) -> SurprisingAnchors:
    """Anchors where the real text surprises the policy as it is now.

    Args:
        model: the policy.
        texts: not looked at.
        candidates: where anchors may be.
        share: of a sequence's candidates that is kept.
    """
    return SurprisingAnchors(model.frozen(), candidates, share)
