"""How alike are what was written and the real text: chrF and BLEU, by sacrebleu."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ebmlm.errors import UserError

__all__ = ["Bleu", "ChrF", "TextMetric"]


class TextMetric(ABC):
    """Answers one question: how alike are texts and their references, from 0 to 100?

    The score of a corpus is a function of the sum of its texts' statistics; it is not the mean of
    its texts' scores.
    """

    @property
    @abstractmethod
    def name(self) -> str:
        """What it is reported as."""

    @abstractmethod
    def sentence(self, text: str, reference: str) -> float:
        """Return the score of one text."""

    @abstractmethod
    def statistics(self, texts: Sequence[str], references: Sequence[str]) -> Tensor:
        """Return the statistics (text, statistic) of each text, float64."""

    @abstractmethod
    def corpus(self, sums: Tensor) -> float:
        """Return the score of the texts whose statistics sum to ``sums`` (statistic,)."""


@dataclass(frozen=True)
class ChrF(TextMetric):
    """chrF (Popovic 2015), with words chrF++ (Popovic 2017), as sacrebleu computes it.

    Args:
        word_order: longest word n-grams that are counted beside those of characters; 0 for chrF,
            2 for chrF++.
    """

    word_order: int = 0

    @property
    def name(self) -> str:
        """``chrf``, or ``chrfN`` with words of order N."""
        return f"chrf{self.word_order or ''}"

    def sentence(self, text: str, reference: str) -> float:
        """See :meth:`TextMetric.sentence`."""
        return float(self._metric().sentence_score(text, [reference]).score)

    def statistics(self, texts: Sequence[str], references: Sequence[str]) -> Tensor:
        """See :meth:`TextMetric.statistics`."""
        return _statistics(self._metric(), texts, references)

    def corpus(self, sums: Tensor) -> float:
        """See :meth:`TextMetric.corpus`."""
        return _score(self._metric(), sums)

    def _metric(self) -> Any:
        return _sacrebleu().CHRF(word_order=self.word_order)


@dataclass(frozen=True)
class Bleu(TextMetric):
    """BLEU (Papineni et al. 2002), as sacrebleu computes it.

    Of a single text only the orders that it is long enough for are counted, as sacrebleu advises.

    Args:
        tokenise: the name of sacrebleu's way of cutting words.
    """

    tokenise: str = "13a"

    @property
    def name(self) -> str:
        """``bleu``."""
        return "bleu"

    def sentence(self, text: str, reference: str) -> float:
        """See :meth:`TextMetric.sentence`."""
        metric = _sacrebleu().BLEU(tokenize=self.tokenise, effective_order=True, force=True)
        return float(metric.sentence_score(text, [reference]).score)

    def statistics(self, texts: Sequence[str], references: Sequence[str]) -> Tensor:
        """See :meth:`TextMetric.statistics`."""
        return _statistics(self._metric(), texts, references)

    def corpus(self, sums: Tensor) -> float:
        """See :meth:`TextMetric.corpus`."""
        return _score(self._metric(), sums)

    def _metric(self) -> Any:
        return _sacrebleu().BLEU(tokenize=self.tokenise, force=True)


def metric_to_json(metric: TextMetric) -> dict[str, Any]:
    """Return a metric's class and options as what JSON can hold."""
    options: dict[str, Any] = {}
    if dataclasses.is_dataclass(metric):
        options = dataclasses.asdict(metric)
    return {"class": type(metric).__name__, "options": options}


def metric_from_json(content: Mapping[str, Any]) -> TextMetric:
    """Return the metric that :func:`metric_to_json` described.

    Raises:
        UserError: for one that is not from here.
    """
    known: dict[str, type[TextMetric]] = {kind.__name__: kind for kind in (ChrF, Bleu)}
    if content["class"] not in known:
        raise UserError(
            f"the text metric '{content['class']}' is not one of {', '.join(known)}: its corpus"
            " score cannot be read from a file"
        )
    return known[content["class"]](**content["options"])


# sacrebleu's own bootstrap goes through these two methods; it has no public ones that give the
# statistics of chrF. The tests hold their result to its public scores.
def _statistics(metric: Any, texts: Sequence[str], references: Sequence[str]) -> Tensor:
    found = metric._extract_corpus_statistics(list(texts), [list(references)])
    return torch.tensor(found, dtype=torch.float64).view(len(texts), -1)


def _score(metric: Any, sums: Tensor) -> float:
    return float(
        metric._compute_score_from_stats([round(number) for number in sums.tolist()]).score
    )


def _sacrebleu() -> Any:
    try:
        from sacrebleu import metrics
    except ModuleNotFoundError as error:
        raise UserError(
            "chrF and BLEU need sacrebleu, which is not installed: pip install sacrebleu"
        ) from error
    return metrics
