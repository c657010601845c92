"""Whitening by a running average of the references' second moment."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ebmlm.errors import UserError
from ebmlm.features.base import Features
from ebmlm.features.metric import Metric, as_shrinkage
from ebmlm.features.metric_whitening import MetricWhitening
from ebmlm.features.second_moment import SecondMoment
from ebmlm.features.shrinkage import LedoitWolf, Shrinkage
from ebmlm.features.whitening import NoWhitening, Whitening, references_of
from ebmlm.state import Gather, Stateful
from ebmlm.typing import BatchAnchor, BatchAnchorSampleFeature

__all__ = ["RunningMetricWhitening"]

# Calls without an end_step between them after which somebody has forgotten it.
_MOST_CALLS = 4096


class RunningMetricWhitening(Whitening, Stateful):
    """One metric for all, from an exponential average over steps of the references' second moment.

    It is fixed within an optimiser step and made of real continuations of earlier steps only, so
    the estimator is unbiased, and loss and gradient do not depend on how a step is cut into
    micro-batches or over processes. In the first step features are left as they are.

    :class:`~ebmlm.training.trainer.EBMTrainer` ends the steps and keeps the average in its
    checkpoints; a loop of your own calls ``objective.end_step()`` after ``optimiser.step()``.

    Args:
        decay: weight of the past in each step's average, in [0, 1); 0.9 looks back ten steps.
        shrinkage: in (0, 1], or what chooses it; by default
            :class:`~ebmlm.features.shrinkage.LedoitWolf`.
        rank: directions that the average keeps, of as many as there are features; what the others
            carry is taken as the same in each of them.

    Raises:
        UserError: for a decay outside [0, 1), a rank under 1 or a shrinkage outside (0, 1]; when
            called some thousand times without an end of a step.
    """

    def __init__(
        self,
        decay: float = 0.9,
        shrinkage: float | Shrinkage | None = None,
        rank: int = 256,
    ) -> None:
        if not 0 <= decay < 1:
            raise UserError(f"decay is {decay}: the weight of the past must be in [0, 1)")
        if rank < 1:
            raise UserError(f"rank is {rank}: keep at least 1 direction")
        self.decay = decay
        self.shrinkage = LedoitWolf() if shrinkage is None else as_shrinkage(shrinkage)
        self.rank = rank
        self._blocks: dict[int, _BlockMetric] = {}

    def for_block(self, index: int) -> Whitening:
        """See :meth:`Whitening.for_block`: each block has an average of its own."""
        return self._blocks.setdefault(index, _BlockMetric(self))

    def __call__(
        self, features: Features, anchor_mask: BatchAnchor
    ) -> tuple[BatchAnchorSampleFeature, BatchAnchorSampleFeature]:
        """See :meth:`Whitening.__call__`; as block 0."""
        return self.for_block(0)(features, anchor_mask)

    def end_step(self, gather: Gather) -> None:
        """See :meth:`Stateful.end_step`; references of all processes are gathered."""
        for index in sorted(self._blocks):
            self._blocks[index].end_step(gather)

    def state(self) -> dict[str, Tensor]:
        """See :meth:`Stateful.state`."""
        return {
            f"block{index}.{name}": value
            for index, average in self._blocks.items()
            if average.moment is not None
            for name, value in _tensors(average.moment).items()
        }

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """See :meth:`Stateful.restore`."""
        self._blocks = {}
        for index in sorted({int(name.split(".")[0].removeprefix("block")) for name in state}):
            self._blocks[index] = average = _BlockMetric(self)
            average.take(
                SecondMoment(
                    state[f"block{index}.factor"].double(),
                    *(
                        float(state[f"block{index}.{name}"])
                        for name in ("remainder", "count", "fourth")
                    ),
                )
            )


def _tensors(moment: SecondMoment) -> dict[str, Tensor]:
    numbers = {"remainder": moment.remainder, "count": moment.count, "fourth": moment.fourth}
    named = {name: torch.tensor(value, dtype=torch.float64) for name, value in numbers.items()}
    return {"factor": moment.factor, **named}


class _BlockMetric(Whitening):
    """The running average of one block."""

    def __init__(self, options: RunningMetricWhitening) -> None:
        self._options = options
        self._seen: list[Tensor] = []
        self._whitening: Whitening = NoWhitening()
        self.moment: SecondMoment | None = None

    def __call__(
        self, features: Features, anchor_mask: BatchAnchor
    ) -> tuple[BatchAnchorSampleFeature, BatchAnchorSampleFeature]:
        """See :meth:`Whitening.__call__`."""
        if len(self._seen) >= _MOST_CALLS:
            raise UserError(
                f"RunningMetricWhitening was called {_MOST_CALLS} times and no step has ended: call"
                " objective.end_step() after each optimiser.step()"
            )
        self._seen.append(references_of(features)[anchor_mask].detach())
        return self._whitening(features, anchor_mask)

    def end_step(self, gather: Gather) -> None:
        """Average what was seen into the past."""
        width = self._seen[0].shape[-1] if self._seen else 0
        seen = gather(torch.cat(self._seen) if self._seen else torch.zeros(0, width))
        rows = torch.cat([part.to(seen[0].device) for part in seen if part.numel()] or seen[:1])
        self._seen = []
        if not rows.any():
            return
        now = SecondMoment.of(rows)
        options = self._options
        if self.moment is None:
            moments, weights = [now], [1.0]
        else:
            past = self.moment
            moments = [SecondMoment(past.factor.to(rows.device), *_numbers(past)), now]
            weights = [options.decay, 1 - options.decay]
        self.take(SecondMoment.mean(moments, weights, options.rank))

    def take(self, moment: SecondMoment) -> None:
        """Whiten by this moment from now on."""
        self.moment = moment
        self._whitening = MetricWhitening(Metric(moment, self._options.shrinkage))


def _numbers(moment: SecondMoment) -> tuple[float, float, float]:
    return moment.remainder, moment.count, moment.fourth
