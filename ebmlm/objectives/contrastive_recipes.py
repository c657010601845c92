"""Training an energy by the policy and the run's texts, so that a configuration can name it."""

from __future__ import annotations

from collections.abc import Sequence

from ebmlm.distribution import TokenDistribution
from ebmlm.energies.heads import Head
from ebmlm.energies.residual import ResidualEnergy
from ebmlm.errors import UserError
from ebmlm.estimators.contrastive import (
    BinaryNCE,
    ContrastiveLoss,
    EnergyMagnitude,
    PhaseDifference,
)
from ebmlm.language_model import LanguageModel
from ebmlm.objectives.energy import EnergyObjective
from ebmlm.objectives.representation_recipes import RepresentationRecipe, made_representation
from ebmlm.samplers.anchors import AnchorPlacement, StridedAnchors
from ebmlm.samplers.block_parallel import BlockParallelSampler
from ebmlm.targets.negatives import DataChains, Noise
from ebmlm.targets.persistent_chains import PersistentChains
from ebmlm.targets.samplers.proposals import Proposal
from ebmlm.texts import Texts

__all__ = ["contrastive_divergence", "nce"]


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


def _energy(
    model: LanguageModel,
    texts: Texts | None,
    representation: RepresentationRecipe | None,
    hidden: Sequence[int],
    seed: int,
) -> ResidualEnergy:
    made = made_representation(model, texts, representation)
    if made.width is None:
        raise UserError(
            "how wide these features are is only known once they are computed: use a pooling of"
            " fixed width, such as MeanToken, under a learned energy"
        )
    return ResidualEnergy(made, Head(made.width, hidden, seed))


def _regularised(contrast: ContrastiveLoss, magnitude: float) -> ContrastiveLoss:
    return contrast + EnergyMagnitude(magnitude) if magnitude else contrast
