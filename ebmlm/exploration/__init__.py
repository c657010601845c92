"""Exploration: what a feature map sees of rollouts, as a page to look at."""

from __future__ import annotations

from ebmlm.exploration.page import as_html
from ebmlm.exploration.parts import Look, chosen_look, looks_of
from ebmlm.exploration.projection import Projection
from ebmlm.exploration.seen import Seen, rows_spread, see, with_anchors
from ebmlm.exploration.view import AnchorView, FeatureView, RolloutView, viewed

__all__ = [
    "AnchorView",
    "FeatureView",
    "Look",
    "Projection",
    "RolloutView",
    "Seen",
    "as_html",
    "chosen_look",
    "looks_of",
    "rows_spread",
    "see",
    "viewed",
    "with_anchors",
]
