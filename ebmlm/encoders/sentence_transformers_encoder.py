"""Models of sentence-transformers as text encoders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from ebmlm.encoders.base import TextEncoder
from ebmlm.typing import RowFeature

__all__ = ["SentenceTransformersEncoder"]


class SentenceTransformersEncoder(TextEncoder):
    """A ``SentenceTransformer`` as it is: its own tokeniser, pooling, layers on top and device.

    Args:
        model: of the package sentence-transformers.
    """

    def __init__(self, model: Any) -> None:
        self.model = model.requires_grad_(False).eval()
        model.tokenizer.truncation_side = "left"

    @property
    def width(self) -> int:
        """See :attr:`TextEncoder.width`."""
        return int(self.model.get_embedding_dimension())

    @torch.no_grad()
    def __call__(self, texts: Sequence[str]) -> RowFeature:
        """See :meth:`TextEncoder.__call__`."""
        with torch.autocast(self.model.device.type, enabled=False):
            vectors = self.model.encode(
                list(texts),
                batch_size=len(texts),
                convert_to_tensor=True,
                show_progress_bar=False,
            )
        # Made in inference mode, whose tensors nothing else may use.
        copied: RowFeature = vectors.clone().float()
        return copied
