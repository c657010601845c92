"""How near a completion comes to the expected text, by metrics of machine translation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ebmlm.errors import UserError
from ebmlm.texts import Attempt
from ebmlm.verifiers.base import Verifier
from ebmlm.verifiers.expected import expected_text

if TYPE_CHECKING:
    from sacrebleu.metrics.base import Metric

__all__ = ["Bleu", "ChrF"]


class _SentenceMetric(Verifier):
    """A metric of sacrebleu, of each completion by itself, divided by 100."""

    def __init__(self, metric: Callable[[], Metric], column: str) -> None:
        try:
            self._metric = metric()
        except ModuleNotFoundError as error:
            raise UserError(f"{error}: pip install sacrebleu") from None
        self._column = column

    def __call__(self, attempts: Sequence[Attempt]) -> list[float]:
        """See :meth:`Verifier.__call__`."""
        expected = [expected_text(attempt.row, self._column) for attempt in attempts]
        scores = [
            self._metric.sentence_score(attempt.completion, [text]).score / 100
            for attempt, text in zip(attempts, expected, strict=True)
        ]
        # A sum of rounded logarithms may lie above its bound by a hair.
        return [min(max(score, 0.0), 1.0) for score in scores]


class ChrF(_SentenceMetric):
    """chrF (Popović, 2015) against the expected text, from 0 to 1.

    The F-score of character n-grams, recall counting ``beta`` times as much as precision. White
    space is not counted. Computed by sacrebleu.

    Args:
        column: of the row, with the expected text.
        word_order: longest word n-grams that are counted too; 2 makes it chrF++.
        beta: weight of recall.
        solved_from: the score from which an attempt counts as solved.

    Raises:
        UserError: if sacrebleu is not installed.
    """

    def __init__(
        self,
        column: str = "completion",
        word_order: int = 0,
        beta: int = 2,
        solved_from: float = 1.0,
    ) -> None:
        def metric() -> Metric:
            from sacrebleu.metrics.chrf import CHRF

            return CHRF(word_order=word_order, beta=beta)

        super().__init__(metric, column)
        self.solved_from = solved_from


class Bleu(_SentenceMetric):
    """BLEU (Papineni et al., 2002) of one sentence against the expected text, from 0 to 1.

    Computed by sacrebleu with its defaults for sentences: effective order (n-grams longer than the
    sentence do not count) and exponential smoothing of counts that are zero.

    Args:
        column: of the row, with the expected text.
        solved_from: the score from which an attempt counts as solved.

    Raises:
        UserError: if sacrebleu is not installed.
    """

    def __init__(self, column: str = "completion", solved_from: float = 1.0) -> None:
        def metric() -> Metric:
            from sacrebleu.metrics.bleu import BLEU

            return BLEU(effective_order=True)

        super().__init__(metric, column)
        self.solved_from = solved_from
