"""What drawing costs: tokens that a language model was asked for."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ebmlm.distribution import TokenDistribution
from ebmlm.language_model import Decoder, LanguageModel, Scoring, TreeStates
from ebmlm.rollouts import Rollouts, SequenceBatch
from ebmlm.typing import BatchAnchor, BatchAnchorSample, BatchPosition

__all__ = ["CountedLanguageModel"]


class CountedLanguageModel(LanguageModel):
    """A language model that counts the tokens drawn from it; otherwise the one it is given.

    Attributes:
        tokens: drawn so far, up to and with each completion's end token.
    """

    def __init__(self, model: LanguageModel) -> None:
        self.model = model
        self.vocabulary_size = model.vocabulary_size
        self.end_tokens = model.end_tokens
        self.layer_count = model.layer_count
        self.hidden_size = model.hidden_size
        self.tokens = 0

    def start(
        self,
        batch: SequenceBatch,
        anchors: BatchAnchor,
        anchor_mask: BatchAnchor,
        samples: int,
        horizon: int,
    ) -> Decoder:
        """See :meth:`LanguageModel.start`."""
        decoder = self.model.start(batch, anchors, anchor_mask, samples, horizon)
        alive = anchor_mask.unsqueeze(-1).expand(*anchor_mask.shape, samples)
        return _CountedDecoder(self, decoder, alive)

    def score(self, rollouts: Rollouts, *, sequences: bool = False) -> Scoring:
        """See :meth:`LanguageModel.score`."""
        return self.model.score(rollouts, sequences=sequences)

    def score_sequences(self, batch: SequenceBatch) -> BatchPosition:
        """See :meth:`LanguageModel.score_sequences`."""
        return self.model.score_sequences(batch)

    def hidden_states(self, rollouts: Rollouts, layers: Sequence[int]) -> TreeStates:
        """See :meth:`LanguageModel.hidden_states`."""
        return self.model.hidden_states(rollouts, layers)

    def frozen(self) -> LanguageModel:
        """See :meth:`LanguageModel.frozen`; what is drawn from it is not counted."""
        return self.model.frozen()


class _CountedDecoder(Decoder):
    def __init__(
        self, counter: CountedLanguageModel, decoder: Decoder, alive: BatchAnchorSample
    ) -> None:
        self._counter = counter
        self._decoder = decoder
        self._alive = alive
        self._ends = torch.tensor(counter.end_tokens, dtype=torch.long, device=alive.device)

    def __enter__(self) -> Decoder:
        self._decoder.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._decoder.__exit__(*exception)

    def draw(
        self, distribution: TokenDistribution, uniforms: BatchAnchorSample
    ) -> tuple[BatchAnchorSample, BatchAnchorSample]:
        tokens, log_probs = self._decoder.draw(distribution, uniforms)
        self._counter.tokens += int(self._alive.sum())
        self._alive = self._alive & ~torch.isin(tokens, self._ends)
        return tokens, log_probs

    def advance(self, tokens: BatchAnchorSample) -> None:
        self._decoder.advance(tokens)

    def keep(self, alive: BatchAnchorSample) -> None:
        self._decoder.keep(alive)
