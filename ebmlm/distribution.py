"""From logits to the distribution a token is drawn from: tempered, truncated, or greedy.

Sampler and scorer share one such object (it travels in ``Rollouts``), so that what is scored is
what was drawn: the same temperature, the same truncation.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from ebmlm.typing import Row, RowVocabulary

__all__ = ["Categorical", "Greedy", "TokenDistribution"]

# Vocabulary entries per block of the two-level inverse distribution function.
_BLOCK = 256

# How many of the most probable tokens are sorted at first to find a nucleus.
_NUCLEUS = 64


class TokenDistribution(ABC):
    """Answers one question: given next-token logits, how is a token drawn, and how probable is it?

    An implementation is stateless and deterministic: the randomness comes in as uniform numbers.
    """

    @property
    @abstractmethod
    def temperature(self) -> float:
        """Divisor of the logits; 0 for a deterministic choice."""

    @property
    def truncates(self) -> bool:
        """Whether some tokens are never drawn."""
        return False

    @abstractmethod
    def log_prob(self, logits: RowVocabulary, tokens: Row) -> Row:
        """Return the log-probability (row,) in nats of ``tokens``, differentiable in ``logits``."""

    def log_probs(self, logits: RowVocabulary) -> RowVocabulary:
        """Return the log-probability in nats of every token, minus infinity if never drawn.

        By default what :meth:`log_prob` says of each token.
        """
        rows, size = logits.shape
        tokens = torch.arange(size, device=logits.device).repeat(rows)
        return self.log_prob(logits.repeat_interleave(size, dim=0), tokens).view(rows, size)

    @abstractmethod
    def sample(self, logits: RowVocabulary, uniforms: Row) -> Row:
        """Return one token (row,) per row, by inversion of ``uniforms`` in [0, 1)."""

    def draw(self, logits: RowVocabulary, uniforms: Row) -> tuple[Row, Row]:
        """Draw as :meth:`sample` does, and say how probable it was: tokens and nats, (row,) each.

        Here for distributions that can do both in fewer passes over the vocabulary.
        """
        tokens = self.sample(logits, uniforms)
        return tokens, self.log_prob(logits, tokens)


def _invert(weights: Tensor, uniforms: Tensor) -> tuple[Tensor, Tensor]:
    """Draw an index per row with probability proportional to ``weights`` (row, vocabulary) >= 0.

    Two levels (blocks, then entries of the chosen block) touch the vocabulary once and keep the
    running sums short, so that rounding does not favour any part of it.

    Returns:
        The indices (row,), and the sum of each row's weights (row,) in float64.
    """
    rows, size = weights.shape
    whole = size - size % _BLOCK
    sums = weights[:, :whole].reshape(rows, -1, _BLOCK).sum(-1)
    if whole < size:
        sums = torch.cat([sums, weights[:, whole:].sum(-1, keepdim=True)], dim=-1)
    blocks = sums.double().cumsum(-1)
    target = uniforms.double().unsqueeze(-1) * blocks[:, -1:]
    block = torch.searchsorted(blocks, target, right=True).clamp(max=blocks.shape[1] - 1)
    before = torch.where(block > 0, blocks.gather(1, (block - 1).clamp(min=0)), 0.0)
    places = block * _BLOCK + torch.arange(_BLOCK, device=weights.device)
    entries = weights.gather(1, places.clamp(max=size - 1)).double()
    inner = torch.where(places < size, entries, 0).cumsum(-1)
    index = torch.searchsorted(inner, target - before, right=True)
    # Rounding can push the target past the last entry with any weight: take that entry then.
    step = inner.diff(dim=-1, prepend=inner.new_zeros(rows, 1)) > 0
    last = torch.where(step, torch.arange(_BLOCK, device=weights.device), 0).amax(-1)
    drawn = (block * _BLOCK + index.clamp(max=last.unsqueeze(-1))).squeeze(-1)
    return drawn, blocks[:, -1]


@dataclass(frozen=True)
class Categorical(TokenDistribution):
    """The softmax of ``logits / temperature``, optionally truncated and renormalised.

    Args:
        temperature: divisor of the logits, above 0.
        top_k: keep the ``top_k`` most probable tokens (ties at the edge are all kept).
        top_p: keep the fewest most probable tokens whose probabilities, after ``top_k``, add up
            to at least ``top_p`` (ties at the edge are all kept).

    Raises:
        ValueError: for a temperature that is not positive, top_k under 1, top_p outside (0, 1].
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None

    def __repr__(self) -> str:
        options = {"temperature": self.temperature, "top_k": self.top_k, "top_p": self.top_p}
        shown = (f"{name}={value}" for name, value in options.items() if value is not None)
        return f"Categorical({', '.join(shown)})"

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise ValueError(
                f"temperature is {self.temperature}: it must be above 0;"
                " use Greedy() for the most probable token"
            )
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f"top_k is {self.top_k}: it must be at least 1, or None for all")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ValueError(f"top_p is {self.top_p}: it must be in (0, 1], or None for all")

    @property
    def truncates(self) -> bool:
        """See :attr:`TokenDistribution.truncates`."""
        return self.top_k is not None or self.top_p is not None

    def _truncated(self, scaled: Tensor) -> Tensor | None:
        """True at the tokens that truncation leaves out, or None where it leaves out none."""
        size = scaled.shape[-1]
        threshold = None
        if self.top_k is not None and self.top_k < size:
            threshold = scaled.topk(self.top_k, dim=-1).values[:, -1:]
        if self.top_p is not None and self.top_p < 1:
            kept = scaled
            if threshold is not None:
                kept = scaled.masked_fill(scaled < threshold, -torch.inf)
            nucleus = self._nucleus(kept, kept.logsumexp(-1, keepdim=True), _NUCLEUS)
            threshold = nucleus if threshold is None else torch.maximum(nucleus, threshold)
        return None if threshold is None else scaled < threshold

    def _nucleus(self, scaled: Tensor, norm: Tensor, most: int) -> Tensor:
        """The least logit (row, 1) of the nucleus, looked for among the ``most`` largest first.

        Rows whose nucleus is larger are looked at again, among sixteen times as many.
        """
        assert self.top_p is not None
        most = min(most, scaled.shape[-1])
        ordered = scaled.topk(most, dim=-1).values
        mass = (ordered - norm).exp().cumsum(-1)
        needed = (mass < self.top_p).sum(-1, keepdim=True).clamp(max=most - 1)
        least = ordered.gather(-1, needed)
        short = mass[:, -1] < self.top_p
        if most < scaled.shape[-1] and short.any():
            least[short] = self._nucleus(scaled[short], norm[short], 16 * most)
        return least

    def log_prob(self, logits: RowVocabulary, tokens: Row) -> Row:
        """Log-probability in nats under the tempered, truncated and renormalised distribution.

        A token that was drawn stays in the support: where rounding puts it just outside the
        truncation at scoring time, it is counted in, so that no importance ratio is ever zero.
        """
        scaled = logits / self.temperature
        chosen = scaled.gather(-1, tokens.unsqueeze(-1)).squeeze(-1)
        with torch.no_grad():
            excluded = self._truncated(scaled)
            if excluded is not None:
                excluded = excluded.scatter(-1, tokens.unsqueeze(-1), False)
        if excluded is not None:
            scaled = scaled.masked_fill(excluded, -torch.inf)
        return chosen - scaled.logsumexp(-1)

    def log_probs(self, logits: RowVocabulary) -> RowVocabulary:
        """See :meth:`TokenDistribution.log_probs`; the truncation itself has no gradient."""
        scaled = logits / self.temperature
        with torch.no_grad():
            excluded = self._truncated(scaled)
        if excluded is not None:
            scaled = scaled.masked_fill(excluded, -torch.inf)
        return scaled.log_softmax(-1)

    def sample(self, logits: RowVocabulary, uniforms: Row) -> Row:
        """Draw tokens (row,) by inverting the distribution function at ``uniforms``."""
        return self.draw(logits, uniforms)[0]

    def draw(self, logits: RowVocabulary, uniforms: Row) -> tuple[Row, Row]:
        """See :meth:`TokenDistribution.draw`: one exponential and one sum for every entry."""
        scaled = logits if self.temperature == 1 else logits / self.temperature
        largest = scaled.amax(-1, keepdim=True)
        excluded = self._truncated(scaled)
        weights = (scaled - largest).exp_()
        if excluded is not None:
            weights.masked_fill_(excluded, 0.0)
        tokens, total = _invert(weights, uniforms)
        chosen = scaled.gather(-1, tokens.unsqueeze(-1)) - largest
        return tokens, chosen.squeeze(-1) - total.log().to(scaled.dtype)


@dataclass(frozen=True)
class Greedy(TokenDistribution):
    """All probability on the most probable token (the lowest id among equals)."""

    @property
    def temperature(self) -> float:
        """Always 0."""
        return 0.0

    @property
    def truncates(self) -> bool:
        """See :attr:`TokenDistribution.truncates`."""
        return True

    def log_prob(self, logits: RowVocabulary, tokens: Row) -> Row:
        """Zero (row,): a token that was drawn greedily had probability one. It has no gradient."""
        return logits.new_zeros(tokens.shape)

    def log_probs(self, logits: RowVocabulary) -> RowVocabulary:
        """Zero at the argmax (row, vocabulary), minus infinity elsewhere. It has no gradient."""
        chosen = logits.detach().argmax(-1, keepdim=True)
        return torch.full_like(logits, -torch.inf, requires_grad=False).scatter(-1, chosen, 0.0)

    def sample(self, logits: RowVocabulary, uniforms: Row) -> Row:
        """Return the argmax (row,); ``uniforms`` are not used."""
        return logits.argmax(-1)
