"""Training an energy by the policy and the run's texts, so that a configuration can name it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import TypeAlias

from ebmlm.distribution import TokenDistribution
from ebmlm.energies.heads import Head
from ebmlm.energies.representations import FixedFeatures, Representation, TrainedStates
from ebmlm.energies.residual import ResidualEnergy
from ebmlm.errors import UserError
from ebmlm.estimators.contrastive import (
    BinaryNCE,
    ContrastiveLoss,
    EnergyMagnitude,
    PhaseDifference,
)
from ebmlm.features.hidden_states import HiddenStateFeatures
from ebmlm.features.layers import LayerChoice, LayerIndices
from ebmlm.features.normalisation import Normalisation, Unnormalised
from ebmlm.features.pooling import MeanToken, Pooling
from ebmlm.language_model import LanguageModel
from ebmlm.objectives.energy import EnergyObjective
from ebmlm.objectives.feature_recipes import FeatureRecipe
from ebmlm.samplers.anchors import AnchorPlacement, StridedAnchors
from ebmlm.samplers.block_parallel import BlockParallelSampler
from ebmlm.targets.negatives import DataChains, Noise
from ebmlm.targets.persistent_chains import PersistentChains
from ebmlm.targets.samplers.proposals import Proposal
from ebmlm.texts import Texts

__all__ = [
    "RepresentationRecipe",
    "contrastive_divergence",
    "fixed",
    "nce",
    "residual",
    "trained_states",
]

RepresentationRecipe: TypeAlias = Callable[[LanguageModel, Texts], Representation]
"""Makes what the head reads, for a policy and the texts of a run."""


def fixed(
    model: LanguageModel, texts: Texts | None = None, *, features: FeatureRecipe | None = None
) -> FixedFeatures:
    """Features that stay as they are: only the head trains.

    Args:
        model: the language model.
        texts: of the run; needed where ``features`` read text.
        features: by default the mean over tokens of the hidden states half-way up and at the top,
            with their lengths as they are.
    """
    if features is None:
        network = model.frozen()
        layers = LayerIndices([network.layer_count // 2, network.layer_count])
        return FixedFeatures(HiddenStateFeatures(network, layers, MeanToken(), Unnormalised()))
    if texts is None:
        raise UserError("features are given by a recipe and texts are not: pass the run's Texts")
    return FixedFeatures(features(model, texts))


def trained_states(
    model: LanguageModel,
    texts: Texts | None = None,
    *,
    layers: LayerChoice | None = None,
    pooling: Pooling | None = None,
    normalisation: Normalisation | None = None,
) -> TrainedStates:
    """Hidden states of a copy of the language model, which trains with the head.

    Args:
        model: the language model; the copy starts from it, and it stays as it is.
        texts: not looked at.
        layers: by default the last.
        pooling: by default the mean over tokens.
        normalisation: by default lengths as they are.
    """
    return TrainedStates(
        HiddenStateFeatures(
            _copied(model),
            LayerIndices([-1]) if layers is None else layers,
            MeanToken() if pooling is None else pooling,
            Unnormalised() if normalisation is None else normalisation,
        )
    )


def nce(
    model: LanguageModel,
    texts: Texts | None = None,
    *,
    anchors: AnchorPlacement | None = None,
    horizon: int = 16,
    stride: int = 16,
    context: int = 16,
    samples: int = 4,
    distribution: TokenDistribution | None = None,
    representation: RepresentationRecipe | None = None,
    hidden: Sequence[int] = (256,),
    contrast: ContrastiveLoss | None = None,
    magnitude: float = 0.0,
    seed: int = 0,
) -> EnergyObjective:
    """Noise-contrastive estimation of a residual energy, the language model as the noise.

    Args:
        model: the language model, which stays as it is.
        texts: of the run; needed where a representation reads text.
        anchors: where continuations start; by default every ``stride`` tokens after ``context``.
        horizon: tokens of a continuation at most.
        stride: tokens between anchors.
        context: tokens before a sequence's first anchor.
        samples: noise samples per real continuation.
        distribution: how the noise draws tokens; by default as the language model does. No top_k
            and top_p.
        representation: what the head reads; by default fixed hidden states.
        hidden: widths of the head's hidden layers.
        contrast: by default the binary form; ``RankingNCE()`` is the other.
        magnitude: coefficient of the energies' mean square.
        seed: of the head's first weights.

    Raises:
        UserError: for an option out of range, or parts that do not fit together.
    """
    anchors = StridedAnchors(stride, context) if anchors is None else anchors
    sampler = BlockParallelSampler(anchors, horizon, samples, distribution)
    return EnergyObjective(
        Noise(sampler, model.end_tokens),
        _energy(model, texts, representation, hidden, seed),
        _regularised(BinaryNCE() if contrast is None else contrast, magnitude),
    )


def contrastive_divergence(
    model: LanguageModel,
    texts: Texts | None = None,
    *,
    anchors: AnchorPlacement | None = None,
    horizon: int = 16,
    stride: int = 16,
    context: int = 16,
    samples: int = 1,
    distribution: TokenDistribution | None = None,
    proposal: Proposal | None = None,
    steps: int = 1,
    persistent: bool = False,
    representation: RepresentationRecipe | None = None,
    hidden: Sequence[int] = (256,),
    magnitude: float = 0.001,
    seed: int = 0,
) -> EnergyObjective:
    """Contrastive divergence: the likelihood's gradient, with chains in place of the model.

    Args:
        model: the language model, which stays as it is and proposes the chains' moves.
        texts: of the run; needed where a representation reads text.
        anchors: where continuations start; by default every ``stride`` tokens after ``context``.
        horizon: tokens of a continuation at most.
        stride: tokens between anchors.
        context: tokens before a sequence's first anchor.
        samples: chains per real continuation.
        distribution: how the language model draws tokens; no top_k and top_p.
        proposal: by default a new end from a random place on.
        steps: of a chain, each time.
        persistent: whether chains go on from where they were, instead of from the data.
        representation: what the head reads; by default fixed hidden states.
        hidden: widths of the head's hidden layers.
        magnitude: coefficient of the energies' mean square; without it they may drift.
        seed: of the head's first weights.

    Raises:
        UserError: for an option out of range, or parts that do not fit together.
    """
    anchors = StridedAnchors(stride, context) if anchors is None else anchors
    sampler = BlockParallelSampler(anchors, horizon, samples, distribution)
    chains = PersistentChains if persistent else DataChains
    return EnergyObjective(
        chains(sampler, model.end_tokens, proposal, steps),
        _energy(model, texts, representation, hidden, seed),
        _regularised(PhaseDifference(), magnitude),
    )


def residual(
    model: LanguageModel,
    texts: Texts | None = None,
    *,
    folder: str,
    representation: RepresentationRecipe | None = None,
) -> ResidualEnergy:
    """An energy that was learned before.

    Args:
        model: the language model that it was learned over.
        texts: of the run; needed where a representation reads text.
        folder: a run's ``checkpoint/``.
        representation: as it was for training.

    Raises:
        UserError: where there is none, or it does not fit.
    """
    return ResidualEnergy.load(folder, _made(model, texts, representation))


def _made(
    model: LanguageModel, texts: Texts | None, representation: RepresentationRecipe | None
) -> Representation:
    if representation is None:
        return fixed(model, texts)
    if texts is None:
        raise UserError("a representation is given and texts are not: pass the run's Texts")
    return representation(model, texts)


def _energy(
    model: LanguageModel,
    texts: Texts | None,
    representation: RepresentationRecipe | None,
    hidden: Sequence[int],
    seed: int,
) -> ResidualEnergy:
    made = _made(model, texts, representation)
    if made.width is None:
        raise UserError(
            "how wide these features are is only known once they are computed: use a pooling of"
            " fixed width, such as MeanToken, under a learned energy"
        )
    return ResidualEnergy(made, Head(made.width, hidden, seed))


def _regularised(contrast: ContrastiveLoss, magnitude: float) -> ContrastiveLoss:
    return contrast + EnergyMagnitude(magnitude) if magnitude else contrast


def _copied(model: LanguageModel) -> LanguageModel:
    """A copy with weights of its own that train."""
    from ebmlm.transformers_model import TransformersLanguageModel

    if not isinstance(model, TransformersLanguageModel):
        return copy.deepcopy(model)
    whole = model.model
    if hasattr(whole, "get_base_model"):
        raise UserError(
            "the model has adapters: merge them (merge_and_unload) before a copy of it is trained"
            " as an energy"
        )
    return TransformersLanguageModel(copy.deepcopy(whole).requires_grad_(True), model.end_tokens)
