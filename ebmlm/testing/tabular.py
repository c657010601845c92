"""A language model that is a table: small enough to list everything it can say."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ebmlm.distribution import Categorical, TokenDistribution
from ebmlm.errors import UserError
from ebmlm.language_model import Decoder, LanguageModel, Scoring, TreeStates
from ebmlm.layout import Prefixes
from ebmlm.rollouts import Rollouts, SequenceBatch
from ebmlm.typing import BatchAnchor, BatchAnchorSample, BatchPosition

__all__ = ["TabularLanguageModel"]


class TabularLanguageModel(LanguageModel, nn.Module):
    """Next-token logits for every context of up to ``order`` tokens of the same document.

    With an ``order`` of at least the longest context it is an arbitrary distribution over
    sequences. Everything is float64 and computed one branch at a time, without any layout, so it
    is an oracle for the fast paths too.

    Args:
        vocabulary: number of tokens, V.
        order: tokens of context that are told apart.
        end_tokens: ids that end a completion.
        layers: hidden states per context, beyond the embeddings.
        hidden: features of a hidden state; fixed random numbers for each context.
        scale: standard deviation of the logits.
        generator: for the table.

    Raises:
        UserError: for a table of more than ten million numbers.
    """

    def __init__(
        self,
        vocabulary: int,
        order: int,
        *,
        end_tokens: Sequence[int] = (),
        layers: int = 4,
        hidden: int = 6,
        scale: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> None:
        nn.Module.__init__(self)
        states = (vocabulary + 1) ** order
        if states * max(vocabulary, (layers + 1) * hidden) > 10_000_000:
            raise UserError(
                f"vocabulary {vocabulary} and order {order} make {states} contexts:"
                " too many for a table; use fewer"
            )
        self.vocabulary_size = vocabulary
        self.order = order
        self.end_tokens = tuple(end_tokens)
        self.layer_count = layers
        self.hidden_size = hidden
        self.logits = nn.Parameter(
            scale * torch.randn(states, vocabulary, generator=generator, dtype=torch.float64)
        )
        self.states: Tensor
        self.register_buffer(
            "states",
            torch.randn(states, layers + 1, hidden, generator=generator, dtype=torch.float64),
        )
        self._powers = (vocabulary + 1) ** torch.arange(order)

    def extra_repr(self) -> str:
        """What stands between the brackets when it is printed."""
        shown = f"vocabulary={self.vocabulary_size}, order={self.order}"
        return f"{shown}, end_tokens={self.end_tokens}, logits of spread {self.logits.std():.2g}"

    def start(
        self,
        batch: SequenceBatch,
        anchors: BatchAnchor,
        anchor_mask: BatchAnchor,
        samples: int,
        horizon: int,
    ) -> Decoder:
        """See :meth:`LanguageModel.start`."""
        context = self._contexts(batch, Prefixes.of(batch, anchors, anchor_mask))
        return _TableDecoder(self, context.unsqueeze(2).expand(-1, -1, samples, -1))

    def score(self, rollouts: Rollouts, *, sequences: bool = False) -> Scoring:
        """See :meth:`LanguageModel.score`."""
        mask = rollouts.token_mask()
        logits = self.logits[self._branch_states(rollouts)[..., :-1]]
        scored = rollouts.distribution.log_prob(logits[mask], rollouts.completions[mask])
        completions = logits.new_zeros(mask.shape).masked_scatter(mask, scored)
        return Scoring(completions, self.score_sequences(rollouts.batch) if sequences else None)

    def score_sequences(self, batch: SequenceBatch) -> BatchPosition:
        """See :meth:`LanguageModel.score_sequences`."""
        mask = batch.target_mask()
        before = self._trunk_states(batch).roll(1, dims=1)
        scored = Categorical().log_prob(self.logits[before[mask]], batch.sequences[mask])
        return self.logits.new_zeros(mask.shape).masked_scatter(mask, scored)

    def hidden_states(self, rollouts: Rollouts, layers: Sequence[int]) -> TreeStates:
        """See :meth:`LanguageModel.hidden_states`."""
        trunk = self.states[self._trunk_states(rollouts.batch)]
        branches = self.states[self._branch_states(rollouts)[..., 1:]]
        return TreeStates(
            trunk=tuple(trunk[..., layer, :] for layer in layers),
            branches=tuple(branches[..., layer, :] for layer in layers),
        )

    def frozen(self) -> TabularLanguageModel:
        """See :meth:`LanguageModel.frozen`."""
        return copy.deepcopy(self).requires_grad_(False)

    def _number(self, context: Tensor) -> Tensor:
        """Row of the table for contexts (..., order); ``vocabulary`` stands for no token."""
        return (context * self._powers).sum(-1)

    def _windows(self, batch: SequenceBatch, ends: Tensor, starts: Tensor) -> Tensor:
        """The ``order`` tokens before each of ``ends`` (batch, place), none before ``starts``."""
        index = ends.unsqueeze(-1) + torch.arange(-self.order, 0)
        tokens = batch.sequences.gather(1, index.clamp(min=0).flatten(1)).view_as(index)
        return torch.where(index >= starts.unsqueeze(-1), tokens, self.vocabulary_size)

    def _contexts(self, batch: SequenceBatch, prefixes: Prefixes) -> Tensor:
        return self._windows(batch, prefixes.anchors, prefixes.starts)

    def _trunk_states(self, batch: SequenceBatch) -> Tensor:
        """Table row (batch, position) after reading each token."""
        starts = batch.document_starts()
        ends = torch.arange(1, starts.shape[1] + 1).expand_as(starts)
        windows = self._windows(batch, ends, starts)
        return self._number(torch.where(batch.sequence_mask.unsqueeze(-1), windows, 0))

    def _branch_states(self, rollouts: Rollouts) -> Tensor:
        """Table row (batch, anchor, sample, token + 1) before and after each branch token."""
        prefixes = Prefixes.of(rollouts.batch, rollouts.anchors, rollouts.anchor_mask)
        context = self._contexts(rollouts.batch, prefixes).unsqueeze(2)
        context = context.expand(-1, -1, rollouts.samples, -1)
        completions = torch.where(rollouts.token_mask(), rollouts.completions, 0)
        whole = torch.cat([context, completions], dim=-1)
        return self._number(whole.unfold(-1, self.order, 1))


class _TableDecoder(Decoder):
    def __init__(self, model: TabularLanguageModel, context: Tensor) -> None:
        self._model, self._context = model, context

    @torch.no_grad()
    def draw(
        self, distribution: TokenDistribution, uniforms: BatchAnchorSample
    ) -> tuple[BatchAnchorSample, BatchAnchorSample]:
        logits = self._model.logits[self._model._number(self._context)].flatten(0, 2)
        tokens = distribution.sample(logits, uniforms.flatten())
        log_probs = distribution.log_prob(logits, tokens)
        return tokens.view_as(uniforms), log_probs.view_as(uniforms)

    def advance(self, tokens: BatchAnchorSample) -> None:
        self._context = torch.cat([self._context[..., 1:], tokens.unsqueeze(-1)], dim=-1)
