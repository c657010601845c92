"""How a run measures held-out rows."""

from __future__ import annotations

from dataclasses import dataclass

from ebmlm.distribution import TokenDistribution
from ebmlm.errors import UserError
from ebmlm.evaluation.base import Evaluation, Evaluations
from ebmlm.evaluation.held_out import HeldOutEvaluation
from ebmlm.evaluation.options import CompletionOptions, EnergyOptions
from ebmlm.features.hidden_states import HiddenStateFeatures
from ebmlm.features.layers import LayerChoice
from ebmlm.language_model import LanguageModel
from ebmlm.objectives.base import Objective
from ebmlm.objectives.energy import EnergyObjective
from ebmlm.objectives.feature_recipes import FeatureRecipe
from ebmlm.samplers.anchors import AnchorPlacement, CompletionAnchors, StridedAnchors
from ebmlm.samplers.block_parallel import BlockParallelSampler
from ebmlm.texts import Texts

__all__ = ["EvaluationOptions"]


@dataclass(frozen=True)
class EvaluationOptions:
    """How held-out rows are measured; see ebmlm.evaluation.

    Args:
        horizon: tokens of a rollout whose features are matched.
        stride: tokens between anchors.
        context: tokens before a sequence's first anchor; of a completion, before its first.
        samples: rollouts per anchor, at least 2.
        distribution: how tokens are drawn; null for temperature 1.
        layers: of the starting model, whose features are matched; null for a quarter, a half and
            three quarters up.
        batch_size: sequences at once; the result does not depend on it.
        seed: of the draws.
        anchors: where these rollouts start; null for every ``stride`` tokens after ``context``,
            inside completions where the data are prompt-completion pairs.
        features: what is matched; null for hidden states of the starting model at ``layers``.
        network: whose hidden states are matched instead of the starting model's, by name or folder:
            runs that start from different checkpoints compare where this is the same.
        whitened: shrinkage, above 0 and at most 1, of the metric in which the feature-matching loss
            is measured besides: that of the held-out text's own features; null for not at all.
        completions: how whole completions are written and verified, for prompt-completion pairs;
            null for not at all.
        written: held-out openings that are continued before and after training, to read.
        energy: how an energy that the objective trains is measured, in place of the language model,
            which stays as it is; null where the objective trains none.
    """

    horizon: int = 8
    stride: int = 8
    context: int = 8
    samples: int = 4
    distribution: TokenDistribution | None = None
    layers: LayerChoice | None = None
    batch_size: int = 4
    seed: int = 0
    anchors: AnchorPlacement | None = None
    features: FeatureRecipe | None = None
    network: str | None = None
    whitened: float | None = None
    completions: CompletionOptions | None = None
    written: int = 2
    energy: EnergyOptions | None = None

    def __post_init__(self) -> None:
        if self.features is not None and self.layers is not None:
            raise UserError(
                "evaluation.features and evaluation.layers are both given: layers is an option of"
                " hidden-state features; give it to the recipe in features instead"
            )
        if self.written < 0:
            raise UserError(f"evaluation.written is {self.written}: it must be at least 0 openings")
        if self.whitened is not None and not 0 < self.whitened <= 1:
            raise UserError(
                f"evaluation.whitened is {self.whitened}: a shrinkage is above 0 and at most 1"
            )

    def build(
        self, network: LanguageModel, texts: Texts, objective: Objective | None = None
    ) -> Evaluation:
        """Return the evaluation, with features from ``network``, which is frozen.

        Raises:
            UserError: where an energy is to be measured and the objective trains none, or the other
                way round.
        """
        if self.energy is not None:
            if not isinstance(objective, EnergyObjective):
                raise UserError(
                    "evaluation.energy measures an energy that a run trains: use it in `ebmlm"
                    " train`, with an objective such as NCE, or leave it out"
                )
            return self.energy.build(objective.energy)
        if isinstance(objective, EnergyObjective):
            raise UserError(
                "the objective trains an energy, and evaluation measures the language model, which"
                " stays as it is: give evaluation.energy, if only `energy: {}`"
            )
        held_out = HeldOutEvaluation(
            BlockParallelSampler(
                self._anchors(pairs=bool(texts.items)),
                self.horizon,
                self.samples,
                self.distribution,
            ),
            HiddenStateFeatures(network, self.layers)
            if self.features is None
            else self.features(network, texts),
            self.batch_size,
            self.seed,
            self.whitened,
        )
        if self.completions is None:
            return held_out
        return Evaluations([held_out, self.completions.build(texts)])

    def _anchors(self, *, pairs: bool) -> AnchorPlacement:
        if self.anchors is not None:
            return self.anchors
        if pairs:
            return CompletionAnchors(self.stride, self.context)
        return StridedAnchors(self.stride, self.context)
