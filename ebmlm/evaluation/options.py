"""How completions, and learned energies, are evaluated, as a configuration says it."""

from __future__ import annotations

from dataclasses import dataclass

from ebmlm.distribution import TokenDistribution
from ebmlm.energies.base import Energy
from ebmlm.evaluation.completions import CompletionEvaluation
from ebmlm.evaluation.energy import EnergyEvaluation
from ebmlm.evaluation.text_metrics import TextMetric
from ebmlm.samplers.anchors import AnchorPlacement, StridedAnchors
from ebmlm.samplers.block_parallel import BlockParallelSampler
from ebmlm.texts import Texts
from ebmlm.verifiers.base import Verifier

__all__ = ["CompletionOptions", "EnergyOptions"]


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


@dataclass(frozen=True)
class EnergyOptions:
    """How an energy that a run trains is measured; see ebmlm.evaluation.EnergyEvaluation.

    Args:
        horizon: tokens of a continuation at most; that of training.
        stride: tokens between anchors.
        context: tokens before a sequence's first anchor.
        samples: noise samples per anchor, at least 2; the bounds are nearer with more.
        distribution: how the noise draws tokens; null for as the language model does.
        batch_size: sequences at once; the result does not depend on it.
        seed: of the draws.
        anchors: where continuations start; null for every ``stride`` tokens after ``context``.
    """

    horizon: int = 16
    stride: int = 16
    context: int = 16
    samples: int = 16
    distribution: TokenDistribution | None = None
    batch_size: int = 4
    seed: int = 0
    anchors: AnchorPlacement | None = None

    def build(self, energy: Energy) -> EnergyEvaluation:
        """Return the evaluation of this energy.

        Raises:
            UserError: for sizes that make no sense.
        """
        anchors = (
            StridedAnchors(self.stride, self.context) if self.anchors is None else self.anchors
        )
        sampler = BlockParallelSampler(anchors, self.horizon, self.samples, self.distribution)
        return EnergyEvaluation(energy, sampler, self.batch_size, self.seed)
