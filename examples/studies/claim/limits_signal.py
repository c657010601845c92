"""How much of the gradient is signal, by what is drawn and by how it is judged."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from limits_start import Start
from torch import Tensor

from ebmlm.distribution import Categorical
from ebmlm.energies import cosine, inner_product
from ebmlm.energies.feature_matching import FeatureMatchingEnergy, Similarity
from ebmlm.estimators import RLOO, mean_token_log_prob, sequence_log_prob
from ebmlm.estimators.base import Credit
from ebmlm.evaluation.gradient_noise import (
    CountSketch,
    agreement,
    gradient_sketches,
    signal_to_noise,
)
from ebmlm.features import (
    FeatureMap,
    Features,
    FeatureSpaceWhitening,
    HiddenStateFeatures,
    NoWhitening,
    RunningMetricWhitening,
    Whitening,
)
from ebmlm.language_model import LanguageModel
from ebmlm.objectives import CrossEntropy, Objective, PolicyObjective
from ebmlm.rollouts import Rollouts, Scores, SequenceBatch
from ebmlm.samplers import BlockParallelSampler, Sampler

_TEXT_STRIDES, _PAIR_STRIDES = (4, 8, 16, 32), (2, 4, 8)
_WARM_UP = 32
"""Rows at most whose references make the running metric; none of them is measured on."""


@dataclass(frozen=True)
class Draw:
    """What is drawn; a stride of None is the task's own."""

    samples: int = 4
    stride: int | None = None
    horizon: int = 8
    temperature: float = 1.0

    def sampler(self, start: Start) -> BlockParallelSampler:
        """As a sampler of the task."""
        anchors = start.anchors(self.stride or 8, self.stride or 4)
        return BlockParallelSampler(
            anchors, self.horizon, self.samples, Categorical(self.temperature)
        )


@dataclass(frozen=True)
class Judgement:
    """How it is judged, and what a rollout's log-probability is for the gradient."""

    whitening: Whitening = dataclasses.field(default_factory=FeatureSpaceWhitening)
    similarity: Similarity = cosine
    credit: Credit = mean_token_log_prob


@dataclass(frozen=True)
class Setting:
    """One row of the table; ``family`` is what it varies."""

    family: str
    name: str
    draw: Draw = Draw()
    judgement: Judgement = dataclasses.field(default_factory=Judgement)


def settings(start: Start, metric: Whitening) -> Iterator[Setting]:
    """The published method (4 samples, feature space, cosine, token mean), one thing changed."""
    strides, own = (_PAIR_STRIDES, 4) if start.pairs else (_TEXT_STRIDES, 8)
    yield Setting("base", f"published, stride {own}")
    # Features have length one: without whitening, cosine and inner product are the same.
    for name, whitening, similarity in (
        ("none, either similarity", NoWhitening(), inner_product),
        ("feature space, inner product", FeatureSpaceWhitening(), inner_product),
        ("running metric, cosine", metric, cosine),
        ("running metric, inner product", metric, inner_product),
    ):
        yield Setting("whitening", name, judgement=Judgement(whitening, similarity))
    yield Setting("credit", "sequence credit", judgement=Judgement(credit=sequence_log_prob))
    for samples in (2, 8, 16):
        yield Setting("samples", f"{samples} samples", Draw(samples=samples))
    for stride in strides:
        if stride != own:
            yield Setting("stride", f"stride {stride}", Draw(stride=stride))
    yield Setting("temperature", "temperature 0.7", Draw(temperature=0.7))
    for horizon in (4, 16):
        yield Setting("horizon", f"horizon {horizon}", Draw(horizon=horizon))


class Drawn(Sampler, FeatureMap):
    """Rollouts and features of all batches, drawn and read together, handed out batch by batch."""

    def __init__(self, start: Start, sampler: Sampler, batch: SequenceBatch) -> None:
        self.anchors, self.horizon = sampler.anchors, sampler.horizon
        self.samples, self.distribution = sampler.samples, sampler.distribution
        network = HiddenStateFeatures(start.network)
        self.parts: list[Rollouts] = []
        self._features: dict[int, Features] = {}
        for piece in start.draw(sampler, batch, start.rows):
            with start.autocast():
                seen = network(piece)
            assert seen.references is not None
            for first in range(0, len(piece.batch), start.rows):
                rows = slice(first, first + start.rows)
                part = piece.rows(rows.start, rows.stop)
                self._features[id(part)] = Features(
                    seen.rollouts[rows], seen.references[rows], seen.blocks
                )
                self.parts.append(part)

    def sample(
        self,
        model: LanguageModel,
        batch: SequenceBatch,
        *,
        generator: torch.Generator | None = None,
    ) -> Rollouts:
        """Those of a batch of ``parts``."""
        return next(part for part in self.parts if part.batch is batch)

    def __call__(self, rollouts: Rollouts) -> Features:
        """Those of one of ``parts``."""
        return self._features[id(rollouts)]

    @property
    def tokens(self) -> float:
        """Generated for each sequence."""
        counted = sum(int(part.token_mask().sum()) for part in self.parts)
        return counted / sum(len(part.batch) for part in self.parts)

    def objective(self, judgement: Judgement) -> Objective:
        """Feature matching of these rollouts, without cross-entropy."""
        energy = FeatureMatchingEnergy(
            self, whitening=judgement.whitening, similarity=judgement.similarity
        )
        return PolicyObjective(self, energy, RLOO(judgement.credit))


def warmed_up(start: Start) -> RunningMetricWhitening:
    """A running metric that has seen the references of rows that are not measured on."""
    metric = RunningMetricWhitening()
    measured = start.batches * start.rows
    batch = start.training_batch(min(_WARM_UP, measured), skipped=measured)
    drawn = Drawn(start, Draw(samples=2).sampler(start), batch)
    energy = FeatureMatchingEnergy(drawn, whitening=metric)
    for part in drawn.parts:
        energy(part, Scores(part.log_probs))
    metric.end_step(lambda tensor: [tensor])
    return metric


def measure_signal(
    start: Start, families: list[str] | None, seconds: float | None
) -> dict[str, Any]:
    """Signal-to-noise ratio of each setting, and how its gradient stands to cross-entropy's.

    After so many seconds no further setting is begun.
    """
    begun = time.monotonic()
    parameters = [one for one in start.policy.model.parameters() if one.requires_grad]
    sketch = CountSketch(parameters, seed=start.seed)
    batch = start.training_batch(start.batches * start.rows)
    plain = [batch.rows(at, at + start.rows) for at in range(0, len(batch), start.rows)]

    def gradients(objective: Objective, batches: list[SequenceBatch]) -> Tensor:
        with start.autocast():
            return gradient_sketches(
                objective, start.policy, parameters, batches, seed=start.seed, sketch=sketch
            )

    started = time.monotonic()
    reference = gradients(CrossEntropy(), plain)
    found = {"cross-entropy": _row(start, "reference", reference, reference, 0.0, started)}
    start.console.print(
        f"{'signal / noise of the gradient':34} a sequence     cosine to CE   gamma"
    )
    _tell(start, "cross-entropy", found["cross-entropy"])
    known: dict[Draw, Drawn] = {}
    left_out: list[str] = []
    wanted = families is None or "whitening" in families
    for setting in settings(start, warmed_up(start) if wanted else NoWhitening()):
        if families is not None and setting.family not in families:
            continue
        started = time.monotonic()
        if seconds is not None and started - begun > seconds:
            left_out.append(setting.name)
            continue
        if setting.draw not in known:
            known = {kept: drawn for kept, drawn in known.items() if kept == Draw()}
            known[setting.draw] = Drawn(start, setting.draw.sampler(start), batch)
        drawn = known[setting.draw]
        own = gradients(drawn.objective(setting.judgement), [part.batch for part in drawn.parts])
        row = _row(start, setting.family, own, reference, drawn.tokens, started)
        found[setting.name] = row
        _tell(start, setting.name, row)
    if left_out:
        start.console.print(f"  no time for: {', '.join(left_out)}", highlight=False)
    return {"settings": found, "left_out": left_out}


def _row(
    start: Start, family: str, own: Tensor, reference: Tensor, tokens: float, started: float
) -> dict[str, Any]:
    noise = signal_to_noise(own)
    beside = agreement(reference, own)
    means = (own.double().mean(0), reference.double().mean(0))
    return {
        "family": family,
        **dataclasses.asdict(noise),
        "per_sequence": noise.ratio / start.rows,
        "per_sequence_error": noise.standard_error / start.rows,
        "tokens_per_sequence": tokens,
        "per_token": noise.ratio / start.rows / tokens if tokens else None,
        "per_token_error": noise.standard_error / start.rows / tokens if tokens else None,
        "cosine_with_cross_entropy": _known(beside.cosine),
        "cosine_with_cross_entropy_error": _known(beside.cosine_error),
        "cosine_of_mean_gradients": float(torch.nn.functional.cosine_similarity(*means, dim=0)),
        "cross_entropy_length_by_own": _known(beside.length_ratio),
        "cross_entropy_length_by_own_error": _known(beside.length_ratio_error),
        "gamma_of_equal_pull": _known(1 / beside.length_ratio),
        "seconds": round(time.monotonic() - started, 2),
    }


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _tell(start: Start, name: str, row: dict[str, Any]) -> None:
    def number(value: float | None) -> str:
        return "-" if value is None else f"{value:.3f}"

    start.console.print(
        f"  {name:32} {row['per_sequence']:.4f} ({row['per_sequence_error']:.4f})"
        f"  {number(row['cosine_with_cross_entropy']):>6}"
        f" ({number(row['cosine_with_cross_entropy_error'])})"
        f"  {number(row['gamma_of_equal_pull']):>6}  {row['seconds']:.1f} s",
        highlight=False,
    )
