"""The convex dual of meeting moments, and its minimum."""

from __future__ import annotations

import torch
from torch import Tensor

from ebmlm.typing import ContextSample, ContextSampleFeature, Row, Scalar

__all__ = ["MomentDual"]

# In nats; a weight of exp(-1e6) is none.
_OVERFLOW = 1e6


class MomentDual:
    """``mean_c log Z_c(coefficients) - coefficients . wanted`` on draws: convex, in nats.

    docs/mathematics.md, eq. 19.

    Args:
        features: (context, sample, feature) of draws, in units of each feature's spread.
        wanted: (feature,) their means under the tilt.
        log_weights: (context, sample) of the draws, in nats.

    Attributes:
        evaluations: of the dual so far.
    """

    def __init__(
        self, features: ContextSampleFeature, wanted: Row, log_weights: ContextSample
    ) -> None:
        self.features, self.wanted, self.log_weights = features, wanted, log_weights
        self.evaluations = 0

    def tilted(self, coefficients: Row) -> ContextSample:
        """Log-weights (context, sample) of the draws under the tilt, in nats."""
        return self.log_weights + self.features @ coefficients

    def value(self, coefficients: Row) -> Scalar:
        """The dual, with gradient."""
        return self.tilted(coefficients).logsumexp(-1).mean() - coefficients @ self.wanted

    def gap(self, coefficients: Row) -> Row:
        """Achieved less wanted moments (feature,), which is the dual's gradient."""
        shares = self.tilted(coefficients).softmax(-1).unsqueeze(-1)
        return (shares * self.features).sum(1).mean(0) - self.wanted

    def minimise(self, steps: int, tolerance: float) -> Row:
        """Return where the gradient is small, or where it was given up.

        By L-BFGS with a line search (Nocedal 1980).

        Args:
            steps: evaluations at most.
            tolerance: of the gradient.
        """
        coefficients = torch.zeros_like(self.wanted, requires_grad=True)
        # Where moments cannot be met the dual falls for ever, and coefficients overflow.
        last = torch.zeros_like(self.wanted)
        optimiser = torch.optim.LBFGS(
            [coefficients],
            max_iter=steps,
            max_eval=steps,
            tolerance_grad=tolerance / 10,
            tolerance_change=0,
            line_search_fn="strong_wolfe",
        )

        def evaluate() -> Tensor:
            self.evaluations += 1
            optimiser.zero_grad()
            value = self.value(coefficients)
            value.backward()
            if coefficients.abs().max() < _OVERFLOW:
                last.copy_(coefficients.detach())
            return value

        optimiser.step(evaluate)
        found = coefficients.detach()
        return found if bool((found.abs() < _OVERFLOW).all()) else last
