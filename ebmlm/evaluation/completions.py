"""Evaluation of whole completions: are they right, how long, how repetitive, how like the real?"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ebmlm.data.collate import collate
from ebmlm.data.row import TextRow, TextRows
from ebmlm.distribution import Greedy, TokenDistribution
from ebmlm.errors import UserError
from ebmlm.evaluation.base import Evaluation, OnProgress
from ebmlm.evaluation.corpus import CorpusMeasurement
from ebmlm.evaluation.measurement import Measurement
from ebmlm.evaluation.pass_at_k import check_pass_at_k, pass_at_k
from ebmlm.evaluation.repetition import repetition
from ebmlm.evaluation.report import EvaluationReport, WrittenCompletion
from ebmlm.evaluation.text_metrics import TextMetric
from ebmlm.language_model import LanguageModel
from ebmlm.rollouts import Rollouts, SequenceBatch
from ebmlm.samplers.anchors import PromptEnd
from ebmlm.samplers.autoregressive import AutoregressiveSampler
from ebmlm.texts import Attempt, Texts
from ebmlm.verifiers.base import Verifier

__all__ = ["CompletionEvaluation"]


@dataclass(frozen=True)
class _Completion:
    """One completion: its text, its score, and the shape of its tokens."""

    attempt: Attempt
    score: float
    length: int
    ended: bool
    repetition: float


class CompletionEvaluation(Evaluation):
    """Completes each item's prompt once greedily and several times by drawing, and verifies it.

    Every figure is a mean over items; of drawn completions, over each item's mean.

    - ``greedy_accuracy``: share of items whose greedy completion is solved.
    - ``greedy_score``, ``sample_score``: the verifier's score.
    - ``pass_at_K``: probability that one of K draws is solved (:func:`pass_at_k`), for each K.
    - ``greedy_length``, ``sample_length``: tokens, an end token included.
    - ``greedy_ended``, ``sample_ended``: share that reached an end token within the horizon.
    - ``greedy_repetition``, ``sample_repetition``: share of 4-grams of tokens that stood in the
      completion before (:func:`repetition`).
    - ``NAME`` of each text metric: of single greedy completions beside the real ones;
      ``corpus_NAME``: of all of them together.

    The draws of an item depend on ``seed`` and its row's id only. Prompts of
    like length are read together, the longest first; nothing depends on that but rounding, which
    can change a completion where two tokens are equally probable to the last digits.

    Args:
        texts: of the rows.
        verifier: scores completions.
        horizon: tokens of a completion at most.
        samples: completions drawn for each item.
        ks: for which pass@k is estimated; none may be above ``samples``.
        distribution: what completions are drawn from; temperature 1 by default.
        batch_size: items at once, all their samples together.
        seed: of the draws.
        text_metrics: how alike greedy and real completions are.
        kept: greedy completions that the report holds to read, of rows spread evenly.

    Raises:
        UserError: for sizes that make no sense, or two text metrics by one name; when called, for
            rows that are not one item each.
    """

    def __init__(
        self,
        texts: Texts,
        verifier: Verifier,
        horizon: int = 128,
        samples: int = 4,
        ks: Sequence[int] = (1,),
        distribution: TokenDistribution | None = None,
        batch_size: int = 8,
        seed: int = 0,
        text_metrics: Sequence[TextMetric] = (),
        kept: int = 8,
    ) -> None:
        if batch_size < 1:
            raise UserError(f"batch_size is {batch_size}: it must be at least 1 item")
        if kept < 0:
            raise UserError(f"kept is {kept}: it must be at least 0 completions")
        for k in ks:
            check_pass_at_k(samples, k)
        names = [metric.name for metric in text_metrics]
        if len(set(names)) < len(names):
            raise UserError(f"two text metrics are called alike: {', '.join(names)}")
        self.texts = texts
        self.verifier = verifier
        self.ks = tuple(sorted(set(ks)))
        self.batch_size = batch_size
        self.seed = seed
        self.text_metrics = tuple(text_metrics)
        self.kept = kept
        self.greedy = AutoregressiveSampler(horizon, 1, Greedy())
        self.drawn = AutoregressiveSampler(horizon, samples, distribution)

    def __call__(
        self,
        model: LanguageModel,
        rows: TextRows,
        *,
        device: torch.device | str = "cpu",
        on_progress: OnProgress | None = None,
    ) -> EvaluationReport:
        """See :meth:`Evaluation.__call__`; rows without a completion count zero.

        Raises:
            UserError: for raw text, for rows of several items, or if no row has a completion.
            ValueError: for a verifier that returns too few scores, or one that is not finite.
        """
        ids = torch.tensor([rows[place].id for place in range(len(rows))], dtype=torch.int64)
        order = _by_prompt(rows)
        greedy: dict[int, _Completion] = {}
        figures: dict[str, Tensor] = defaultdict(
            lambda: torch.zeros(len(rows), dtype=torch.float64)
        )
        for start in range(0, len(order), self.batch_size):
            places = order[start : start + self.batch_size]
            batch = collate([rows[place] for place in places]).to(device)
            for place, (best, *others) in zip(places, self._complete(model, batch), strict=True):
                greedy[place] = best
                for name, value in self._figures(best, others).items():
                    figures[name][place] = value
            if on_progress is not None:
                on_progress(len(rows) - len(order) + start + len(places), len(rows))
        counted = torch.zeros(len(rows), dtype=torch.bool)
        counted[order] = True
        return EvaluationReport(
            ids,
            {name: Measurement(values, counted.long()) for name, values in figures.items()},
            self._corpus(greedy, counted),
            self._kept(greedy, ids),
        )

    def check(
        self, model: LanguageModel, rows: TextRows, *, device: torch.device | str = "cpu"
    ) -> None:
        """See :meth:`Evaluation.check`: reads the longest prompt, with room for a completion.

        Raises:
            UserError: for rows that are not one item each, or a completion that would go past the
                model's longest position.
        """
        batch = collate([rows[_by_prompt(rows)[0]]]).to(device)
        anchors, mask = PromptEnd()(batch, 1)
        with model.start(batch, anchors, mask, 1, self.greedy.horizon):
            pass

    def _complete(self, model: LanguageModel, batch: SequenceBatch) -> list[list[_Completion]]:
        """Of each row the greedy completion, then the drawn ones."""
        rollouts = [
            sampler.sample(model, batch, generator=torch.Generator().manual_seed(self.seed)).to(
                "cpu"
            )
            for sampler in (self.greedy, self.drawn)
        ]
        written = [(one, w) for one in rollouts for w in self.texts.attempts(one)]
        scores = self.verifier([w.attempt for _, w in written])
        if len(scores) != len(written):
            raise ValueError(f"a verifier gave {len(scores)} scores for {len(written)} attempts")
        completions: list[list[_Completion]] = [[] for _ in range(len(batch))]
        for (one, w), score in zip(written, scores, strict=True):
            if not math.isfinite(score):
                raise ValueError(f"a verifier returned {score}: scores must be finite numbers")
            tokens = _tokens(one, w.place)
            completions[w.place[0]].append(
                _Completion(
                    w.attempt,
                    score,
                    len(tokens),
                    bool(tokens) and tokens[-1] in model.end_tokens,
                    repetition(tokens),
                )
            )
        return completions

    def _figures(self, best: _Completion, others: Sequence[_Completion]) -> dict[str, float]:
        solved = [one.score >= self.verifier.solved_from for one in (best, *others)]
        count = torch.tensor([sum(solved[1:])])
        real = _real(best)
        return {
            "greedy_accuracy": float(solved[0]),
            **{f"pass_at_{k}": float(pass_at_k(count, len(others), k)) for k in self.ks},
            "greedy_score": best.score,
            "sample_score": _mean([one.score for one in others]),
            "greedy_length": float(best.length),
            "sample_length": _mean([one.length for one in others]),
            "greedy_ended": float(best.ended),
            "sample_ended": _mean([one.ended for one in others]),
            "greedy_repetition": best.repetition,
            "sample_repetition": _mean([one.repetition for one in others]),
            **{
                metric.name: metric.sentence(best.attempt.completion, real)
                for metric in self.text_metrics
            },
        }

    def _corpus(
        self, greedy: Mapping[int, _Completion], counted: Tensor
    ) -> dict[str, CorpusMeasurement]:
        found = {}
        places = sorted(greedy)
        for metric in self.text_metrics:
            own = metric.statistics(
                [greedy[place].attempt.completion for place in places],
                [_real(greedy[place]) for place in places],
            )
            statistics = own.new_zeros(len(counted), own.shape[1])
            statistics[places] = own
            found[f"corpus_{metric.name}"] = CorpusMeasurement(metric, statistics, counted)
        return found

    def _kept(self, greedy: Mapping[int, _Completion], ids: Tensor) -> list[WrittenCompletion]:
        places = sorted(greedy)
        number = min(self.kept, len(places))
        return [
            WrittenCompletion(
                int(ids[place]), one.attempt.prompt, one.attempt.completion, _real(one), one.score
            )
            for place in (places[index * len(places) // number] for index in range(number))
            for one in (greedy[place],)
        ]


def _by_prompt(rows: TextRows) -> list[int]:
    """Places of the rows that have a completion, the longest prompt first: it asks for most memory.

    Raises:
        UserError: for rows that do not hold one item each, or if none has a completion.
    """
    if not len(rows):
        raise UserError("no held-out row to complete")
    found = [_prompt_tokens(rows[place]) for place in range(len(rows))]
    lengths = {place: length for place, length in enumerate(found) if length is not None}
    if not lengths:
        raise UserError(
            f"none of the {len(rows)} held-out rows has a completion to start: prompts may be as"
            " long as a whole row; make data.length longer"
        )
    return sorted(lengths, key=lambda place: -lengths[place])


def _prompt_tokens(row: TextRow) -> int | None:
    """Tokens before a row's completion, None where it has none.

    Raises:
        UserError: if it does not hold one item.
    """
    anchors, mask = PromptEnd()(collate([row]), 1)
    if int(mask.sum()) > 1 or len(row.documents.unique()) > 1:
        raise UserError(
            f"held-out row {row.id} holds several items: completions are measured item by item, so"
            " hold out unpacked pairs, one prompt and one completion a row"
        )
    return int(anchors[0, 0]) if mask.any() else None


def _tokens(rollouts: Rollouts, place: tuple[int, int, int]) -> list[int]:
    tokens: list[int] = rollouts.completions[place][rollouts.completion_mask[place]].tolist()
    return tokens


def _real(completion: _Completion) -> str:
    return str(completion.attempt.row["completion"])


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
