"""The law of a policy objective as a whole: its expected gradient is that of what it minimises."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from hypothesis import strategies as st
from torch import Tensor

from ebmlm.language_model import LanguageModel
from ebmlm.objectives.base import ItemCounts
from ebmlm.objectives.cross_entropy_weight import CrossEntropyWeight
from ebmlm.objectives.policy import PolicyObjective
from ebmlm.rollouts import Rollouts, Scores, SequenceBatch
from ebmlm.samplers.base import Sampler
from ebmlm.testing.completions import Completions, list_completions
from ebmlm.testing.describe import Readable, describe_batch
from ebmlm.testing.laws.policies import Recipe, Trained
from ebmlm.testing.laws.proof import EXAMPLES, DoesNotApply, Draw, for_all, require_equal
from ebmlm.testing.strategies.texts import single_texts
from ebmlm.testing.tabular import TabularLanguageModel

__all__ = ["expected_gradient_descends"]

_MOST_GROUPS = 800
_STEP = 1e-3


def expected_gradient_descends(recipe: Recipe, examples: int = EXAMPLES) -> None:
    """The expected gradient of its loss is the derivative of energy plus cross-entropy.

    Every group of rollouts at one anchor goes through the loss as if it had been drawn. A tenth of
    the cases are tried, since each is some hundred losses.
    """
    trained = Trained.of(recipe)
    objective = trained.objective
    if not isinstance(objective, PolicyObjective):
        raise DoesNotApply("it draws nothing")
    samples, horizon = objective.sampler.samples, objective.sampler.horizon
    if (trained.model.vocabulary_size**horizon) ** samples > _MOST_GROUPS:
        raise DoesNotApply(f"{samples} rollouts of {horizon} tokens are too many to list")

    def holds(draw: Draw) -> None:
        text = draw(single_texts(trained.model.vocabulary_size, trained.length, trained.length))
        # For an objective whose anchors come with the data.
        given = torch.full((1, 1), trained.length - 1)
        text = SequenceBatch.of(text.sequences, anchors=given)
        case = _Case(trained.model, objective, text, draw(st.integers(0, 99)))
        found = (case.expected_gradient() * case.direction()).sum()
        what = f"expected gradient along a direction, against the derivative, for\n{case}"
        require_equal(found, case.derivative(), what, 1e-6)

    for_all(holds, max(1, examples // 10))


@dataclass(frozen=True, eq=False)
class _Case(Readable):
    model: TabularLanguageModel
    objective: PolicyObjective
    text: SequenceBatch
    seed: int

    def direction(self) -> Tensor:
        """A random direction in the table's logits."""
        generator = torch.Generator().manual_seed(self.seed)
        shape = self.model.logits.shape
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    def expected_gradient(self) -> Tensor:
        """Mean over groups of the gradient of the objective's own loss."""
        listed = self._listed(self.model)
        index = self._groups(len(listed))
        weights = listed.log_probs().detach()[index].sum(-1).exp()
        total = torch.zeros_like(self.model.logits)
        known = copy.copy(self.objective)
        for weight, rollouts in zip(
            weights, [listed.chosen(row).rollouts for row in index], strict=True
        ):
            known.sampler = _Given(self.objective.sampler, rollouts)
            loss = known.loss(self.model, self.text, counts=self._counts()).loss
            total += weight * torch.autograd.grad(loss, self.model.logits)[0]
        return total

    def derivative(self) -> Tensor:
        """Derivative of the functional's exact value along the direction, from five points."""
        values = []
        for steps in (-2, -1, 1, 2):
            moved = copy.deepcopy(self.model)
            with torch.no_grad():
                moved.logits.add_(self.direction(), alpha=steps * _STEP)
                values.append(self._value(moved))
        return (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / (12 * _STEP)

    def _value(self, model: TabularLanguageModel) -> Tensor:
        listed = self._listed(model)
        index = self._groups(len(listed))
        weights = listed.log_probs()[index].sum(-1).exp()
        reference = self.objective.reference
        known = None if reference is None else reference.score(listed.rollouts).completions[0, 0]
        scores = Scores(
            model.score(listed.rollouts).completions[0, 0][index].unsqueeze(1),
            None if known is None else known[index].unsqueeze(1),
        )
        value = self.objective.energy(listed.groups(index), scores).functional()[:, 0]
        likelihood = model.score_sequences(self.text).sum() / self._counts().tokens
        gamma = self.objective.cross_entropy
        if isinstance(gamma, CrossEntropyWeight):
            raise DoesNotApply(f"{type(gamma).__name__} weighs cross-entropy anew in every step")
        return (weights * value).sum() - gamma * likelihood

    def _listed(self, model: TabularLanguageModel) -> Completions:
        sampler = self.objective.sampler
        anchors, mask = sampler.anchors(self.text, sampler.horizon)
        anchor = int(anchors[mask][0])
        listed = list_completions(model, self.text, anchor, sampler.distribution, sampler.horizon)
        return listed.possible()

    def _counts(self) -> ItemCounts:
        return ItemCounts(1, int(self.text.target_mask().sum()))

    def _groups(self, completions: int) -> Tensor:
        every = torch.arange(completions)
        samples = self.objective.sampler.samples
        return torch.cartesian_prod(*[every] * samples).view(-1, samples)

    def __str__(self) -> str:
        return describe_batch(self.text)


class _Given(Sampler):
    """Rollouts that are what they are."""

    def __init__(self, sampler: Sampler, rollouts: Rollouts) -> None:
        self.anchors, self.horizon = sampler.anchors, sampler.horizon
        self.samples, self.distribution = sampler.samples, sampler.distribution
        self.rollouts = rollouts

    def sample(
        self,
        model: LanguageModel,
        batch: SequenceBatch,
        *,
        generator: torch.Generator | None = None,
    ) -> Rollouts:
        """See :meth:`Sampler.sample`."""
        return self.rollouts
