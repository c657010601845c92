"""The evaluation: what is a model like on these rows?"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import torch

from ebmlm.data.row import TextRows
from ebmlm.errors import UserError
from ebmlm.evaluation.report import EvaluationReport
from ebmlm.language_model import LanguageModel

__all__ = ["Evaluation", "Evaluations", "OnProgress"]

OnProgress = Callable[[int, int], None]
"""Is told how much is done and how much there is in all."""


class Evaluation(ABC):
    """Answers one question: what is a model like on these rows?

    Two evaluations of the same rows have the same items and the same random numbers, whatever the
    model and however the rows are cut in batches or spread over processes.
    """

    @abstractmethod
    def __call__(
        self,
        model: LanguageModel,
        rows: TextRows,
        *,
        device: torch.device | str = "cpu",
        on_progress: OnProgress | None = None,
    ) -> EvaluationReport:
        """Return what was measured of ``model``, row by row in the order of ``rows``.

        Args:
            model: is not changed.
            rows: held-out text; a row that has nothing to measure counts zero.
            device: where the model is.
            on_progress: is told as rows are done.

        Raises:
            UserError: if there is no row, or rows are not what can be measured.
        """

    def check(  # noqa: B027 (a rule that most have no need of)
        self, model: LanguageModel, rows: TextRows, *, device: torch.device | str = "cpu"
    ) -> None:
        """Refuse what cannot be measured, before any long work; by default nothing.

        Raises:
            UserError: for rows, or a model, that cannot be measured.
        """


class Evaluations(Evaluation):
    """Several evaluations of the same rows, as one report.

    Args:
        evaluations: one after the other; no two may measure something by the same name.

    Raises:
        UserError: if there is none.
        ValueError: when called, for a name that comes twice.
    """

    def __init__(self, evaluations: Sequence[Evaluation]) -> None:
        if not evaluations:
            raise UserError("no evaluation to make: give at least one")
        self.evaluations = tuple(evaluations)

    def __call__(
        self,
        model: LanguageModel,
        rows: TextRows,
        *,
        device: torch.device | str = "cpu",
        on_progress: OnProgress | None = None,
    ) -> EvaluationReport:
        """See :meth:`Evaluation.__call__`; progress is the sum over all."""
        self.check(model, rows, device=device)
        reports = []
        for place, evaluation in enumerate(self.evaluations):

            def told(done: int, total: int, before: int = place) -> None:
                if on_progress is not None:
                    on_progress(before * total + done, len(self.evaluations) * total)

            reports.append(evaluation(model, rows, device=device, on_progress=told))
        return EvaluationReport.merged(reports)

    def check(
        self, model: LanguageModel, rows: TextRows, *, device: torch.device | str = "cpu"
    ) -> None:
        """See :meth:`Evaluation.check`; all of them."""
        for evaluation in self.evaluations:
            evaluation.check(model, rows, device=device)
