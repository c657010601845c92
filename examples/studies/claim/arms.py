"""The arms of the study: each a composition, with where it starts and how long it trains."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

from ebmlm.data import PairData
from ebmlm.distribution import Categorical
from ebmlm.energies import inner_product
from ebmlm.estimators import RLOO, GroupNorm
from ebmlm.features import MeanToken, NoWhitening, RunningMetricWhitening
from ebmlm.language_model import LanguageModel
from ebmlm.objectives import GradientShare, Objective, recipes
from ebmlm.objectives.anchor_recipes import surprising_anchors
from ebmlm.samplers import CompletionAnchors, StridedAnchors
from ebmlm.samplers.anchors import AnchorPlacement
from ebmlm.texts import Texts
from ebmlm.training.pipeline import Pipeline

__all__ = ["ARMS", "MAIN", "RATES", "VARIANTS", "Arm"]

Recipe: TypeAlias = Callable[[LanguageModel, Texts], Objective]

RATES = (2e-5, 6e-5, 2e-4)
"""Learning rates that every tuned arm is given a short run at."""

COMPUTE = 4.0
"""Steps of cross-entropy alone that take as long as one of EBFT, about."""


@dataclass(frozen=True)
class Arm:
    """One way to train.

    Attributes:
        recipe: the objective, given the task's pipeline.
        rate_of: the arm whose learning rate it takes; its own name where it is tuned itself.
        length: training steps, as a multiple of the task's.
        start: the arm whose checkpoint, of the same seed, it starts from; None for the base model.
        verified: whether it needs a verifier.
    """

    recipe: Callable[[Pipeline], Recipe]
    rate_of: str
    length: float = 1.0
    start: str | None = None
    verified: bool = False


def anchors(task: Pipeline, times: int = 1) -> AnchorPlacement:
    """Every 8 tokens of text, or every 4 of a completion, or so many times as many."""
    if isinstance(task.data, PairData):
        return CompletionAnchors(4 * times, 0)
    return StridedAnchors(8 * times, 8)


def ebft(times: int = 1, **options: Any) -> Callable[[Pipeline], Recipe]:
    """The paper's setting; anchors so many times as far apart, and other options as given."""

    def of(task: Pipeline) -> Recipe:
        # Parts that remember are each run's own.
        return partial(recipes.ebft, **{"anchors": anchors(task, times), **deepcopy(options)})

    return of


def surprising(task: Pipeline) -> Recipe:
    """As many anchors, twice as dense where the text surprises the starting model."""
    dense = CompletionAnchors(2, 0) if isinstance(task.data, PairData) else StridedAnchors(4, 8)
    return partial(recipes.ebft, anchors=partial(surprising_anchors, candidates=dense))


def rlvr(task: Pipeline) -> Recipe:
    """Whole completions, drawn as long as they are evaluated, by the task's own verifier."""
    completions = task.evaluation.completions
    assert completions is not None, "RLVR runs on tasks with a verifier"
    return partial(
        recipes.rlvr,
        verifier=completions.verifier,
        horizon=completions.horizon,
        samples=8,
    )


def sft(task: Pipeline) -> Recipe:
    """Cross-entropy alone."""
    return recipes.sft


MAIN = {
    "sft": Arm(sft, "sft"),
    "rlvr": Arm(rlvr, "rlvr", verified=True),
    # So many steps as take about the seconds of EBFT's: docs/results.md.
    "sft_compute": Arm(sft, "sft", length=COMPUTE),
    "ebft": Arm(ebft(), "ebft"),
    "ebft_gamma_0": Arm(ebft(cross_entropy=0.0), "ebft"),
    "ebft_gamma_0.1": Arm(ebft(cross_entropy=0.1), "ebft"),
    "ebft_from_sft": Arm(ebft(), "ebft", start="sft"),
    "rlvr_from_sft": Arm(rlvr, "rlvr", start="sft", verified=True),
}
"""The arms that the claim is about; gamma is 0.03 where nothing else is said."""

VARIANTS = {
    "gamma_0.3": ebft(cross_entropy=0.3),
    "gamma_1": ebft(cross_entropy=1.0),
    "gradient_share": ebft(cross_entropy=GradientShare(0.5)),
    "no_whitening": ebft(whitening=NoWhitening()),
    "no_whitening_gradient_share": ebft(whitening=NoWhitening(), cross_entropy=GradientShare(0.5)),
    "unbiased": ebft(whitening=NoWhitening(), similarity=inner_product, estimator=RLOO()),
    "metric": ebft(whitening=RunningMetricWhitening()),
    "metric_inner_product": ebft(whitening=RunningMetricWhitening(), similarity=inner_product),
    "group_norm": ebft(estimator=GroupNorm()),
    "samples_8": ebft(2, samples=8),
    "samples_16": ebft(4, samples=16),
    "horizon_2": ebft(horizon=2),
    "horizon_4": ebft(horizon=4),
    "horizon_4_samples_8": ebft(horizon=4, samples=8),
    "horizon_16": ebft(horizon=16),
    "temperature_0.7": ebft(distribution=Categorical(0.7)),
    "kl": ebft(kl=0.05),
    "surprising": surprising,
    "mean_token": ebft(pooling=MeanToken()),
    "mean_token_no_whitening": ebft(pooling=MeanToken(), whitening=NoWhitening()),
    "mean_token_horizon_4": ebft(pooling=MeanToken(), whitening=NoWhitening(), horizon=4),
}
"""EBFT with one thing changed, at its learning rate."""

ARMS = {
    **MAIN,
    **{name: Arm(recipe, "ebft") for name, recipe in VARIANTS.items()},
    # The second half of training with rollouts of twice the length.
    "half": Arm(ebft(), "ebft", length=0.5),
    "horizon_late": Arm(ebft(horizon=16), "ebft", length=0.5, start="half"),
}
"""Every arm by its name."""
