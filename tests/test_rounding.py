"""Half precision: weights are rounded inside ``torch.autocast``, and gradients are whole."""

from __future__ import annotations

import pytest
import torch

from ebmlm.distribution import Categorical, Greedy
from ebmlm.features import HiddenStateFeatures, LayerIndices
from ebmlm.objectives import recipes
from ebmlm.transformers_model import TransformersLanguageModel
from tests.helpers import (
    CONFIGURATIONS,
    draw,
    gradients,
    largest_difference,
    packed_batch,
    pair,
)


def _enable_checkpointing(model: TransformersLanguageModel) -> None:
    # The name that transformers gives it from its version 5.
    enable = getattr(model.model, "activation_checkpointing_enable", None)
    (enable or model.model.gradient_checkpointing_enable)()
    model.model.train()


@pytest.mark.parametrize("checkpointed", [False, True])
@pytest.mark.parametrize("architecture", CONFIGURATIONS)
def test_sampling_under_autocast_does_not_cut_the_gradient(
    architecture: str, checkpointed: bool
) -> None:
    """Autocast keeps rounded weights for its whole region: those of the sampler have no gradient.

    The region is the training step's: rollouts, features and reference scores are made in it, then
    the policy is scored.
    """
    model, _ = pair(architecture, torch.float32)
    frozen = model.frozen()
    if checkpointed:
        _enable_checkpointing(model)
    names = {name for name, _ in model.model.named_parameters()}
    with torch.autocast("cpu", torch.bfloat16):
        rollouts = draw(model, packed_batch())
        HiddenStateFeatures(model, LayerIndices([1]))(rollouts)
        HiddenStateFeatures(frozen, LayerIndices([1]))(rollouts)
        frozen.score(rollouts)

        def loss() -> torch.Tensor:
            scoring = model.score(rollouts, sequences=True)
            assert scoring.sequences is not None
            return scoring.completions.sum() + scoring.sequences.sum()

        found = gradients(model.model, loss)
    assert found.keys() == names
    with torch.autocast("cpu", torch.bfloat16):
        alone = gradients(model.model, loss)
    assert largest_difference(found, alone) == 0


def test_log_probabilities_under_autocast_are_float32() -> None:
    model, _ = pair(dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        rollouts = draw(model, packed_batch())
        scored = model.score(rollouts).completions
    assert rollouts.log_probs.dtype == scored.dtype == torch.float32
    assert (scored.detach() - rollouts.log_probs).abs().max() < 0.2


@pytest.mark.parametrize("checkpointed", [False, True])
def test_the_gradient_is_that_of_float32_to_rounding(checkpointed: bool) -> None:
    model, _ = pair(dtype=torch.float32)
    rollouts = draw(model, packed_batch())
    if checkpointed:
        _enable_checkpointing(model)

    def loss() -> torch.Tensor:
        scoring = model.score(rollouts, sequences=True)
        assert scoring.sequences is not None
        return scoring.completions.mean() + scoring.sequences.mean()

    exact = gradients(model.model, loss)
    with torch.autocast("cpu", torch.bfloat16):
        rough = gradients(model.model, loss)
    assert rough.keys() == exact.keys()
    for name, gradient in exact.items():
        assert rough[name].dtype == torch.float32
        likeness = torch.cosine_similarity(rough[name].flatten(), gradient.flatten(), dim=0)
        assert likeness > 0.95, name


def test_a_whole_step_under_autocast_moves_every_weight() -> None:
    model, _ = pair(dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        objective = recipes.ebft(model, horizon=4, stride=4, context=3, samples=2, kl=0.1)
        found = gradients(model.model, lambda: objective.loss(model, packed_batch()).loss)
    assert found.keys() == {name for name, _ in model.model.named_parameters()}
    assert all(gradient.abs().max() > 0 for gradient in found.values())


def test_the_weights_are_left_as_they_are() -> None:
    model, _ = pair(dtype=torch.float32)
    before = {name: value.clone() for name, value in model.model.state_dict().items()}
    with torch.autocast("cpu", torch.bfloat16):
        draw(model, packed_batch())
    after = model.model.state_dict()
    assert all(torch.equal(value, before[name]) for name, value in after.items())
    assert all(
        value.dtype == torch.float32 for value in after.values() if value.is_floating_point()
    )


@pytest.mark.parametrize("architecture", CONFIGURATIONS)
def test_sampler_and_scorer_agree_to_rounding(architecture: str) -> None:
    model, _ = pair(architecture, torch.float32)
    for distribution in (Categorical(), Categorical(0.6), Greedy()):
        with torch.autocast("cpu", torch.bfloat16):
            rollouts = draw(model, packed_batch(), distribution)
            scored = model.score(rollouts).completions.detach()
        difference = (scored - rollouts.log_probs).abs()
        assert difference.max() < 0.5
        assert difference.mean() < 0.05
