"""How much cross-entropy weighs beside an energy, where that is no fixed number."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor

from ebmlm.errors import UserError
from ebmlm.state import Gather, Stateful

__all__ = ["CrossEntropyWeight", "GradientShare"]


class CrossEntropyWeight(ABC):
    """Answers one question: what is gamma in this step?

    The same for all pieces of a step.
    """

    @abstractmethod
    def __call__(
        self, matching: Tensor, completions: Tensor, likelihood: Tensor, sequences: Tensor
    ) -> float:
        """Return the weight gamma, a number of at least 0.

        Args:
            matching: this piece's loss of the energy, a scalar that carries gradient.
            completions: the log-probabilities that it was made of.
            likelihood: this piece's cross-entropy, a scalar likewise.
            sequences: the log-probabilities that it was made of.
        """


class GradientShare(CrossEntropyWeight, Stateful):
    """So much that cross-entropy's gradient is a given share of both gradients' lengths.

    ``gamma = s / (1 - s) * |dE/dl| / |dC/dl|``, with E the energy's loss, C cross-entropy, and l
    the log-probabilities of the tokens that either looks at: lengths before the network, which
    cost nothing more (docs/mathematics.md, "A share of the gradient"). Both are averaged over
    steps, and the weight changes between steps alone. So a whitening or a scale of the energy
    leaves the balance as it is.

    A part with memory: it is kept in checkpoints, and a loop of your own calls
    ``objective.end_step()`` after ``optimiser.step()``.

    Args:
        share: s, above 0 and below 1.
        decay: weight of the past in the average of squared lengths, in [0, 1).
        first: the weight of the first step, of which no lengths are known.

    Raises:
        UserError: for a number out of range.
    """

    def __init__(self, share: float = 0.5, decay: float = 0.9, first: float = 0.03) -> None:
        if not 0 < share < 1:
            raise UserError(f"share is {share}: it must be above 0 and below 1")
        if not 0 <= decay < 1:
            raise UserError(f"decay is {decay}: the weight of the past must be in [0, 1)")
        if not 0 <= first < float("inf"):
            raise UserError(f"first is {first}: a weight must be finite and at least 0")
        self.share = share
        self.decay = decay
        self.first = first
        self._step = torch.zeros(2, dtype=torch.float64)
        self._squares: Tensor | None = None

    def __call__(
        self, matching: Tensor, completions: Tensor, likelihood: Tensor, sequences: Tensor
    ) -> float:
        """See :meth:`CrossEntropyWeight.__call__`."""
        for place, (loss, inputs) in enumerate(((matching, completions), (likelihood, sequences))):
            if loss.requires_grad:
                (slope,) = torch.autograd.grad(loss, inputs, retain_graph=True)
                self._step[place] += float(slope.double().square().sum())
        if self._squares is None:
            return self.first
        energy, cross_entropy = self._squares.tolist()
        if not cross_entropy:
            return self.first
        return self.share / (1 - self.share) * float((energy / cross_entropy) ** 0.5)

    def end_step(self, gather: Gather) -> None:
        """See :meth:`Stateful.end_step`; squared lengths of all pieces and processes add up."""
        now = torch.stack([part.cpu() for part in gather(self._step)]).sum(0)
        self._step = torch.zeros(2, dtype=torch.float64)
        if not now.any():
            return
        past = self._squares
        self._squares = now if past is None else self.decay * past + (1 - self.decay) * now

    def state(self) -> dict[str, Tensor]:
        """See :meth:`Stateful.state`."""
        return {} if self._squares is None else {"squares": self._squares}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """See :meth:`Stateful.restore`."""
        self._squares = state["squares"].double() if "squares" in state else None
