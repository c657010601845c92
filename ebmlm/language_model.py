"""What the parts ask of a language model: draw, score, and show its hidden states.

:class:`~ebmlm.transformers_model.TransformersLanguageModel` answers for any causal language model
of transformers; :class:`ebmlm.testing.TabularLanguageModel` answers from a table, exactly. Parts
are written against this interface and run on both.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from ebmlm.distribution import TokenDistribution
from ebmlm.rollouts import Rollouts, SequenceBatch
from ebmlm.typing import (
    BatchAnchor,
    BatchAnchorSample,
    BatchAnchorSampleToken,
    BatchAnchorSampleTokenFeature,
    BatchPosition,
    BatchPositionFeature,
)

__all__ = ["Decoder", "LanguageModel", "Scoring", "TreeStates"]


@dataclass(frozen=True, eq=False)
class Scoring:
    """Log-probabilities in nats, with gradient where the model has trainable parameters.

    Attributes:
        completions: (batch, anchor, sample, token) of the generated tokens under the rollouts'
            own distribution; zero where they do not count.
        sequences: (batch, position) of the real tokens at temperature 1, zero where
            ``target_mask`` is false; None where it was not asked for.
    """

    completions: BatchAnchorSampleToken
    sequences: BatchPosition | None = None


@dataclass(frozen=True, eq=False)
class TreeStates:
    """Hidden states of trunk and branches, one tensor per layer that was asked for.

    Attributes:
        trunk: (batch, position, feature) each.
        branches: (batch, anchor, sample, token, feature) each.
    """

    trunk: tuple[BatchPositionFeature, ...]
    branches: tuple[BatchAnchorSampleTokenFeature, ...]


class Decoder(ABC):
    """Grows all branches of a batch together, one token at a time; never keeps a gradient.

    Used in a ``with`` block, after which what it holds for the batch is given back.
    """

    def __enter__(self) -> Decoder:
        return self

    def __exit__(self, *exception: object) -> None:
        """Give back what is held for the batch; by default nothing."""
        return

    @abstractmethod
    def draw(
        self, distribution: TokenDistribution, uniforms: BatchAnchorSample
    ) -> tuple[BatchAnchorSample, BatchAnchorSample]:
        """Draw the next token of every branch: the tokens, and their log-probabilities in nats.

        ``uniforms`` (batch, anchor, sample) in [0, 1) are all the randomness there is.
        """

    @abstractmethod
    def advance(self, tokens: BatchAnchorSample) -> None:
        """Append ``tokens`` (batch, anchor, sample), one to each branch."""

    def keep(self, alive: BatchAnchorSample) -> None:
        """Be told that only branches where ``alive`` is true will still be looked at.

        Shapes stay what they are. A decoder may leave the others out from now on, whose draws are
        then of no meaning; by default nothing changes.
        """
        return


class LanguageModel(ABC):
    """A distribution over token sequences.

    Attributes:
        vocabulary_size: number of token ids.
        end_tokens: token ids after which a completion is over; may be empty.
        layer_count: L; hidden states are numbered 0 (embeddings) to L (what the head reads).
        hidden_size: features of a hidden state.
    """

    vocabulary_size: int
    end_tokens: tuple[int, ...]
    layer_count: int
    hidden_size: int

    @property
    def module(self) -> nn.Module:
        """The module that holds the weights.

        Raises:
            NotImplementedError: where there is none.
        """
        if isinstance(self, nn.Module):
            return self
        raise NotImplementedError(f"{type(self).__name__} does not say what holds its weights")

    @abstractmethod
    def start(
        self,
        batch: SequenceBatch,
        anchors: BatchAnchor,
        anchor_mask: BatchAnchor,
        samples: int,
        horizon: int,
    ) -> Decoder:
        """Read the trunk once and return a decoder of ``samples`` branches at each anchor.

        Raises:
            ValueError: if a valid anchor has no real token before it, or a branch of ``horizon``
                tokens would go past the model's longest position.
        """

    @abstractmethod
    def score(self, rollouts: Rollouts, *, sequences: bool = False) -> Scoring:
        """Score the rollouts, and with ``sequences`` the real text too, in one pass."""

    @abstractmethod
    def score_sequences(self, batch: SequenceBatch) -> BatchPosition:
        """Log-probability (batch, position) in nats of each real token given those before it."""

    @abstractmethod
    def hidden_states(self, rollouts: Rollouts, layers: Sequence[int]) -> TreeStates:
        """Hidden states of trunk and branches after the given numbers of layers."""

    @abstractmethod
    def frozen(self) -> LanguageModel:
        """Return this model as it is now, fixed from here on: a reference or a feature network.

        For a model with PEFT adapters that is the base with the adapters off, sharing its
        weights; otherwise a copy.
        """
