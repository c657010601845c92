"""What there is to show of rollouts and their features: plain numbers and texts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ebmlm.exploration.effective import cosines, effective_number, effective_rollouts
from ebmlm.exploration.projection import Projection
from ebmlm.exploration.seen import Seen
from ebmlm.rollouts import Rollouts
from ebmlm.texts import Texts

__all__ = ["AnchorView", "FeatureView", "RolloutView", "viewed"]

Point = tuple[float, float]

# Tokens of the text before an anchor that are shown.
_CONTEXT = 64


@dataclass(frozen=True)
class RolloutView:
    """One rollout: its text, where it stands, and what the objective makes of it.

    Attributes:
        text: without special tokens.
        tokens: how many were drawn, an end token included.
        ended: whether it ended before the horizon.
        same_as: the first rollout of the anchor with the same tokens, counted from 0; None for the
            first of its kind.
        reward: minus the whole energy.
        alignment: what likeness to the reference adds to the reward.
        diversity: what likeness to the other rollouts takes from it.
        advantage: of the objective's estimator; positive makes the rollout likelier.
        shared: coordinates in the plane of all anchors.
        own: coordinates in the plane of its own anchor.
    """

    text: str
    tokens: int
    ended: bool
    same_as: int | None
    reward: float
    alignment: float
    diversity: float
    advantage: float
    shared: Point
    own: Point

    @property
    def other(self) -> float:
        """What energies that do not look through this feature map add to the reward."""
        return self.reward - (self.alignment - self.diversity)


@dataclass(frozen=True)
class AnchorView:
    """One anchor: its text, its rollouts, and how alike their features are.

    Attributes:
        row: the number of the row of data.
        place: the index in the row of the first token that is drawn.
        context: the end of the text before the anchor, in its own document.
        cut: whether that document has more before it.
        real: the real continuation.
        rollouts: in the order in which they were drawn.
        reference_shared: the reference in the plane of all anchors; None without references.
        reference_own: the reference in the anchor's own plane.
        own_shares: of the variance of the anchor's own vectors, along its two axes.
        cosines: (vector, vector) of features, the reference first where there is one.
        pairs: (sample, sample) pairwise terms of the energy; None where it has none.
        distinct: rollouts with different tokens.
        effective: distinct rollouts as the features tell them apart.
    """

    row: int
    place: int
    context: str
    cut: bool
    real: str
    rollouts: tuple[RolloutView, ...]
    reference_shared: Point | None
    reference_own: Point | None
    own_shares: Point
    cosines: tuple[tuple[float, ...], ...]
    pairs: tuple[tuple[float, ...], ...] | None
    distinct: int
    effective: float

    def mean(self, name: str) -> float:
        """Return the mean over rollouts of one of their numbers, such as ``reward``."""
        return sum(getattr(rollout, name) for rollout in self.rollouts) / len(self.rollouts)


@dataclass(frozen=True)
class FeatureView:
    """Anchors with their rollouts, seen through one feature map.

    Attributes:
        facts: what was drawn from what, to be told at the top.
        anchors: in the order of the text.
        size: features of a vector.
        shares: of the variance of all vectors along every direction, falling.
        effective_components: the effective number of these directions.
    """

    facts: Mapping[str, str]
    anchors: tuple[AnchorView, ...]
    size: int
    shares: tuple[float, ...]
    effective_components: float

    def mean(self, name: str) -> float:
        """Return the mean over all rollouts of one of their numbers."""
        return sum(anchor.mean(name) for anchor in self.anchors) / len(self.anchors)

    @property
    def distinct(self) -> float:
        """Rollouts with different tokens, the mean over anchors."""
        return sum(anchor.distinct for anchor in self.anchors) / len(self.anchors)

    @property
    def effective(self) -> float:
        """Rollouts that the features tell apart, the mean over anchors."""
        return sum(anchor.effective for anchor in self.anchors) / len(self.anchors)

    @property
    def samples(self) -> int:
        """Rollouts of an anchor."""
        return len(self.anchors[0].rollouts)

    @property
    def duplicates(self) -> float:
        """Share of the rollouts that another one of their anchor is the same as before them."""
        return 1 - self.distinct / self.samples


def viewed(seen: Seen, texts: Texts, facts: Mapping[str, str]) -> FeatureView:
    """Return what there is to show.

    Args:
        seen: rollouts, features and terms, with at least one valid anchor.
        texts: the tokeniser.
        facts: to be told at the top of the page.

    Raises:
        UserError: for features that are not finite.
    """
    valid = seen.rollouts.anchor_mask
    vectors = seen.features.rollouts[valid]
    if seen.features.references is not None:
        vectors = torch.cat([seen.features.references[valid].unsqueeze(1), vectors], dim=1)
    plane = Projection.fitted(vectors.flatten(0, 1))
    numbers = {
        "reward": -seen.terms.per_sample(),
        "alignment": -seen.matched.unary,
        "diversity": seen.matched.per_sample() - seen.matched.unary,
        "advantage": seen.advantages,
    }
    anchors = tuple(
        _anchor(seen, texts, place, vectors[number], plane, numbers)
        for number, place in enumerate(valid.nonzero().tolist())
    )
    return FeatureView(
        facts=facts,
        anchors=anchors,
        size=int(vectors.shape[-1]),
        shares=tuple(plane.shares.tolist()),
        effective_components=float(effective_number(plane.shares)),
    )


def _anchor(
    seen: Seen,
    texts: Texts,
    place: list[int],
    vectors: Tensor,
    plane: Projection,
    numbers: Mapping[str, Tensor],
) -> AnchorView:
    row, anchor = place
    rollouts = seen.rollouts
    own = Projection.fitted(vectors)
    shared_points, own_points = _points(plane(vectors)), _points(own(vectors))
    referenced = len(vectors) > rollouts.samples
    start = int(rollouts.anchors[row, anchor])
    begin = int(rollouts.batch.document_starts()[row, start - 1])
    prefix = rollouts.sequences[row, begin:start]
    same = _same_as(rollouts, row, anchor)
    views = []
    for sample in range(rollouts.samples):
        mask = rollouts.completion_mask[row, anchor, sample]
        tokens = int(mask.sum())
        views.append(
            RolloutView(
                text=texts.after(prefix, rollouts.completions[row, anchor, sample][mask]),
                tokens=tokens,
                ended=tokens < rollouts.horizon,
                same_as=same[sample],
                shared=shared_points[sample + referenced],
                own=own_points[sample + referenced],
                **{name: float(value[row, anchor, sample]) for name, value in numbers.items()},
            )
        )
    mask = rollouts.reference_mask[row, anchor]
    pairwise = seen.matched.pairwise
    shares = [*own.shares.tolist(), 0.0, 0.0][:2]
    return AnchorView(
        row=int(rollouts.batch.ids[row]),
        place=start,
        context=texts.after(prefix[:0], prefix[-_CONTEXT:]),
        cut=len(prefix) > _CONTEXT,
        real=texts.after(prefix, rollouts.references[row, anchor][mask]),
        rollouts=tuple(views),
        reference_shared=shared_points[0] if referenced else None,
        reference_own=own_points[0] if referenced else None,
        own_shares=(shares[0], shares[1]),
        cosines=_table(cosines(vectors)),
        pairs=None if pairwise is None else _table(pairwise[row, anchor]),
        distinct=same.count(None),
        effective=float(effective_rollouts(vectors[int(referenced) :])),
    )


def _same_as(rollouts: Rollouts, row: int, anchor: int) -> list[int | None]:
    first: dict[tuple[int, ...], int] = {}
    same: list[int | None] = []
    for sample in range(rollouts.samples):
        mask = rollouts.completion_mask[row, anchor, sample]
        tokens = tuple(rollouts.completions[row, anchor, sample][mask].tolist())
        same.append(first.get(tokens))
        first.setdefault(tokens, sample)
    return same


def _points(coordinates: Tensor) -> list[Point]:
    return [(x, y) for x, y in coordinates.tolist()]


def _table(matrix: Tensor) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row) for row in matrix.tolist())
