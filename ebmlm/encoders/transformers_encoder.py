"""Encoders of transformers as text encoders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from ebmlm.encoders.base import TextEncoder
from ebmlm.errors import UserError
from ebmlm.features.pooling import MeanToken, Pooling
from ebmlm.typing import RowFeature

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["TransformersEncoder"]


class TransformersEncoder(TextEncoder):
    """Pooled last hidden states of any transformers encoder, with its own tokeniser.

    It computes in the number format of its own weights, whatever region of ``torch.autocast`` it is
    called in.

    Args:
        model: a base model that returns ``last_hidden_state``; frozen in place.
        tokeniser: its own; texts are cut from the left.
        pooling: how a text's states become one vector; their mean by default.
            :class:`~ebmlm.features.pooling.FirstToken` for models with a classification token.
        normalised: whether vectors are brought to length one.
        longest: tokens of a text at most; by default what model and tokeniser allow.
        device: where it runs; by default where it is.

    Raises:
        UserError: for a pooling whose width depends on the horizon, or fewer than one token.
    """

    def __init__(
        self,
        model: Any,
        tokeniser: PreTrainedTokenizerBase,
        pooling: Pooling | None = None,
        normalised: bool = True,
        longest: int | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        pooling = MeanToken() if pooling is None else pooling
        if pooling.factor is None:
            raise UserError(
                f"{type(pooling).__name__} has no width of its own: pool an encoder's states by"
                " MeanToken, FirstToken or LastToken"
            )
        if longest is not None and longest < 1:
            raise UserError(f"longest is {longest}: an encoder sees at least 1 token")
        self.model = model.requires_grad_(False).eval()
        if device is not None:
            self.model.to(device)
        self.tokeniser = tokeniser
        self.pooling = pooling
        self.normalised = normalised
        self.longest = min(longest or _UNLIMITED, _longest(model, tokeniser))
        self._factor = pooling.factor

    @property
    def width(self) -> int:
        """See :attr:`TextEncoder.width`."""
        return int(self.model.config.hidden_size) * self._factor

    @torch.no_grad()
    def __call__(self, texts: Sequence[str]) -> RowFeature:
        """See :meth:`TextEncoder.__call__`."""
        device = next(self.model.parameters()).device
        previous = self.tokeniser.truncation_side
        self.tokeniser.truncation_side = "left"
        try:
            tokens = self.tokeniser(
                list(texts),
                padding=True,
                truncation=True,
                max_length=self.longest,
                return_tensors="pt",
            ).to(device)
        finally:
            self.tokeniser.truncation_side = previous
        with torch.autocast(device.type, enabled=False):
            states = self.model(**tokens).last_hidden_state
        states = states.to(torch.promote_types(states.dtype, torch.float32))
        mask = tokens["attention_mask"].bool()
        vectors = self.pooling(states, mask, mask.shape[-1])
        return torch.nn.functional.normalize(vectors, dim=-1) if self.normalised else vectors


# A tokeniser without a limit says so by a number of thirty digits.
_UNLIMITED = 1_000_000


def _longest(model: Any, tokeniser: PreTrainedTokenizerBase) -> int:
    positions = getattr(model.config, "max_position_embeddings", None) or _UNLIMITED
    for name, module in model.named_modules():
        # Positions of RoBERTa and its kin start after that of the padding token.
        if name.endswith("position_embeddings") and getattr(module, "padding_idx", None):
            positions -= module.padding_idx + 1
    return min(positions, int(tokeniser.model_max_length), _UNLIMITED)
