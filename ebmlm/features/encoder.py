"""Features from a text encoder: decoded text, read again by a network of its own."""

from __future__ import annotations

from ebmlm.encoders.base import TextEncoder
from ebmlm.features.base import FeatureMap, Features
from ebmlm.features.function import FunctionFeatures
from ebmlm.features.reading import TextReading
from ebmlm.rollouts import Rollouts
from ebmlm.texts import Texts

__all__ = ["EncoderFeatures"]


class EncoderFeatures(FeatureMap):
    """What a text encoder makes of (the tail of the context and) the continuation.

    Rollouts and references are decoded, and tokenised again by the encoder's own tokeniser; so any
    encoder goes with any policy. Vectors of references are kept.

    Args:
        encoder: for instance ``ebmlm.models.load_encoder()``.
        texts: of the policy's tokeniser.
        context: tokens before the anchor that are read with a continuation. A few words alone say
            little to a sentence encoder.
        batch_size: texts encoded at once.
        kept: references whose vectors are kept at most, of ``width`` float32 numbers each.

    Raises:
        UserError: for a negative context or number to keep, or a batch size under 1.
    """

    def __init__(
        self,
        encoder: TextEncoder,
        texts: Texts,
        context: int = 24,
        batch_size: int = 64,
        kept: int = 50_000,
    ) -> None:
        self.encoder = encoder
        self.context = context
        self._features = FunctionFeatures(
            encoder, encoder.width, TextReading(texts, context), batch_size, kept
        )

    @property
    def blocks(self) -> tuple[int, ...] | None:
        """One."""
        return self._features.blocks

    def __call__(self, rollouts: Rollouts) -> Features:
        """See :meth:`FeatureMap.__call__`."""
        return self._features(rollouts)
