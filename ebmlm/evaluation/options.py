"""How completions are evaluated, as a configuration says it."""

from __future__ import annotations

from dataclasses import dataclass

from ebmlm.distribution import TokenDistribution
from ebmlm.evaluation.completions import CompletionEvaluation
from ebmlm.evaluation.text_metrics import TextMetric
from ebmlm.texts import Texts
from ebmlm.verifiers.base import Verifier

__all__ = ["CompletionOptions"]


@dataclass(frozen=True)
class CompletionOptions:
    """How whole completions are measured; see ebmlm.evaluation.CompletionEvaluation.

    Args:
        verifier: scores completions.
        horizon: tokens of a completion at most.
        samples: completions drawn for each item, beside the greedy one.
        ks: for which pass@k is estimated; none may be above samples.
        distribution: what completions are drawn from; null for temperature 1.
        batch_size: items at once, all their samples together.
        seed: of the draws.
        text_metrics: how alike greedy and real completions are, such as ChrF.
        kept: greedy completions that the report holds to read.
    """

    verifier: Verifier
    horizon: int = 128
    samples: int = 4
    ks: tuple[int, ...] = (1,)
    distribution: TokenDistribution | None = None
    batch_size: int = 8
    seed: int = 0
    text_metrics: tuple[TextMetric, ...] = ()
    kept: int = 8

    def build(self, texts: Texts) -> CompletionEvaluation:
        """Return the evaluation for rows of these texts.

        Raises:
            UserError: for sizes that make no sense.
        """
        return CompletionEvaluation(
            texts,
            self.verifier,
            self.horizon,
            self.samples,
            self.ks,
            self.distribution,
            self.batch_size,
            self.seed,
            self.text_metrics,
            self.kept,
        )
