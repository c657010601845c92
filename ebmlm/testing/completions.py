"""Everything a model can say at one anchor, with its exact probabilities."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ebmlm.distribution import Categorical, TokenDistribution
from ebmlm.errors import UserError
from ebmlm.language_model import LanguageModel
from ebmlm.rollouts import Rollouts, SequenceBatch
from ebmlm.testing.enumeration import all_completions, group_rollouts
from ebmlm.typing import Row

__all__ = ["Completions", "conditional_log_probs", "list_completions"]


@dataclass(frozen=True, eq=False)
class Completions:
    """All completions of one context (docs/mathematics.md, "Exactness").

    Attributes:
        rollouts: every completion once, as the samples of one anchor in a batch of one.
        token_log_probs: (completion, token) in nats under the rollouts' distribution, with
            gradient; zero after the end, minus infinity where truncation rules a token out.
    """

    rollouts: Rollouts
    token_log_probs: Tensor

    @property
    def tokens(self) -> Tensor:
        """Token ids (completion, token)."""
        return self.rollouts.completions[0, 0]

    @property
    def mask(self) -> Tensor:
        """True (completion, token) up to the end."""
        return self.rollouts.completion_mask[0, 0]

    def __len__(self) -> int:
        return len(self.tokens)

    def log_probs(self) -> Row:
        """Log-probability (completion,) of each, in nats, with gradient."""
        return self.token_log_probs.sum(-1)

    def chosen(self, index: Tensor) -> Completions:
        """Return the completions of the given numbers alone."""
        rollouts = group_rollouts(
            self.rollouts.batch,
            int(self.rollouts.anchors),
            self.tokens[index],
            self.rollouts.distribution,
        )
        mask = self.rollouts.completion_mask[:, :, index]
        return Completions(_masked(rollouts, mask), self.token_log_probs[index])

    def possible(self) -> Completions:
        """Return those that have any probability."""
        return self.chosen((self.log_probs() > -torch.inf).nonzero().flatten())

    def groups(self, index: Tensor) -> Rollouts:
        """Groups of completions by number (group, sample), one group a row of a batch."""
        single, rows = self.rollouts, len(index)
        batch = single.batch.map(lambda tensor: tensor.expand(rows, *tensor.shape[1:]))
        return Rollouts.given(
            batch,
            single.anchors.expand(rows, -1),
            single.anchor_mask.expand(rows, -1),
            self.tokens[index].unsqueeze(1),
            single.distribution,
            completion_mask=self.mask[index].unsqueeze(1),
        )


def list_completions(
    model: LanguageModel,
    batch: SequenceBatch,
    anchor: int,
    distribution: TokenDistribution,
    horizon: int,
) -> Completions:
    """List what ``model`` can say after the ``anchor`` of a batch of one.

    The model is asked for its plain next-token probabilities only; temperature and truncation
    are applied to them here, so that a model that scores them wrongly is found out.

    Args:
        model: small enough to list what it can say.
        batch: of one sequence.
        anchor: index of the first generated token.
        distribution: how tokens are drawn; greedy and truncated ones too.
        horizon: tokens of a rollout at most.

    Raises:
        UserError: for a batch of several sequences, or a model whose next-token probabilities do
            not add up to one.
    """
    if len(batch) != 1:
        raise UserError(f"{len(batch)} sequences: completions are those of one; give batch.rows")
    listed = all_completions(model.vocabulary_size, horizon, model.end_tokens)
    plain = group_rollouts(batch, anchor, listed, Categorical(), model.end_tokens)
    scored = model.score(plain).completions[0, 0]
    rollouts = group_rollouts(batch, anchor, listed, distribution, model.end_tokens)
    alive = rollouts.completion_mask[0, 0]
    index = _siblings(listed, alive, model.vocabulary_size)
    step = torch.arange(horizon)[:, None]
    logits = scored[index, step][alive]
    total = logits.detach().exp().sum(-1)
    if ((total - 1).abs() > torch.finfo(total.dtype).eps ** 0.5).any():
        worst = float(total[(total - 1).abs().argmax()])
        raise UserError(
            f"the probabilities of all next tokens add up to {worst:.6g} somewhere, and must to 1:"
            " check_language_model says what is wrong with the model"
        )
    rows = distribution.log_probs(logits).gather(-1, listed[alive].unsqueeze(-1)).squeeze(-1)
    token_log_probs = rows.new_zeros(listed.shape).masked_scatter(alive, rows)
    return Completions(rollouts, token_log_probs)


def conditional_log_probs(completions: Completions, probabilities: Row) -> Tensor:
    """Token log-probabilities (completion, token) of any distribution over the completions.

    Each is the log of a ratio of two prefixes' probabilities, in nats; a prefix that is never
    written gets zero.

    Args:
        completions: what is listed.
        probabilities: (completion,).
    """
    tokens, mask = completions.tokens, completions.mask
    horizon = tokens.shape[-1]
    agree = tokens.unsqueeze(1) == tokens
    prefix = torch.cat([torch.ones_like(agree[..., :1]), agree.long().cumprod(-1).bool()], dim=-1)
    mass = torch.einsum("c d t, d -> c t", prefix.to(probabilities.dtype), probabilities)
    before, after = mass[:, :horizon], mass[:, 1:]
    written = mask & (after > 0)
    ratio = torch.where(written, after, 1) / torch.where(written, before, 1)
    return torch.where(written, ratio.log(), 0)


def _masked(rollouts: Rollouts, mask: Tensor) -> Rollouts:
    return Rollouts.given(
        rollouts.batch,
        rollouts.anchors,
        rollouts.anchor_mask,
        rollouts.completions,
        rollouts.distribution,
        completion_mask=mask,
    )


def _siblings(listed: Tensor, alive: Tensor, vocabulary: int) -> Tensor:
    """Numbers (completion, token, vocabulary) of completions that go on with each token instead."""
    strings = [tuple(tokens) for tokens in listed.tolist()]
    first: dict[tuple[int, ...], int] = {}
    for number, tokens in enumerate(strings):
        for length in range(1, len(tokens) + 1):
            first.setdefault(tokens[:length], number)
    return torch.tensor(
        [
            [
                [first[*tokens[:step], token] if live else 0 for token in range(vocabulary)]
                for step, live in enumerate(lives)
            ]
            for tokens, lives in zip(strings, alive.tolist(), strict=True)
        ]
    )
