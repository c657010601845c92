"""Text encoders: from text to a vector, by a network of its own."""

from __future__ import annotations

from ebmlm.encoders.base import TextEncoder
from ebmlm.encoders.sentence_transformers_encoder import SentenceTransformersEncoder
from ebmlm.encoders.transformers_encoder import TransformersEncoder

__all__ = ["SentenceTransformersEncoder", "TextEncoder", "TransformersEncoder"]
