"""Verifiers' scores as features: anything that can be checked, as a moment."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ebmlm.errors import UserError
from ebmlm.features.base import FeatureMap, Features
from ebmlm.features.function import FunctionFeatures
from ebmlm.features.reading import TextReading
from ebmlm.rollouts import Rollouts
from ebmlm.texts import Attempt, Texts
from ebmlm.typing import RowFeature
from ebmlm.verifiers.base import Verifier

__all__ = ["VerifierFeatures"]


class VerifierFeatures(FeatureMap):
    """One feature for each verifier: its score of the continuation as text.

    With :func:`~ebmlm.targets.moments.fit_moments`, shares of completions that pass a check. Texts
    are read without their items, so a verifier that needs a column of a row has no place here.

    Args:
        verifiers: one for each feature.
        texts: of the policy's tokeniser.
        context: tokens before the anchor that are read with the continuation.

    Raises:
        UserError: for no verifier, or a negative context.
    """

    def __init__(self, verifiers: Sequence[Verifier], texts: Texts, context: int = 0) -> None:
        if not verifiers:
            raise UserError("no verifiers: give one for each feature")
        self.verifiers = tuple(verifiers)
        self._features = FunctionFeatures(
            self._scores, len(self.verifiers), TextReading(texts, context)
        )

    @property
    def blocks(self) -> tuple[int, ...] | None:
        """One."""
        return self._features.blocks

    def __call__(self, rollouts: Rollouts) -> Features:
        """See :meth:`FeatureMap.__call__`."""
        return self._features(rollouts)

    def _scores(self, texts: Sequence[str]) -> RowFeature:
        attempts = [Attempt("", text) for text in texts]
        return torch.tensor([verifier(attempts) for verifier in self.verifiers]).T
