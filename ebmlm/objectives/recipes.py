"""Known methods as compositions: each a few lines that put parts together.

Every recipe takes the policy and the run's texts first (of which most need the policy alone) and
keyword options after them, so that a configuration file can name it (docs/configuration.md).
"""

from __future__ import annotations

from ebmlm.distribution import Categorical, TokenDistribution
from ebmlm.energies.base import Energy
from ebmlm.energies.feature_matching import (
    FeatureMatchingEnergy,
    Similarity,
    cosine,
    inner_product,
)
from ebmlm.energies.kernel_matching import KernelMatchingEnergy
from ebmlm.energies.kl import KLEnergy
from ebmlm.energies.length import LengthEnergy
from ebmlm.energies.verifier import VerifierEnergy
from ebmlm.errors import UserError
from ebmlm.estimators.base import Estimator, mean_token_log_prob
from ebmlm.estimators.rloo import RLOO
from ebmlm.features.group_whitening import FeatureSpaceWhitening
from ebmlm.features.layers import LayerChoice
from ebmlm.features.normalisation import Normalisation
from ebmlm.features.pooling import Pooling
from ebmlm.features.whitening import NoWhitening, Whitening
from ebmlm.kernels.bandwidth import MedianBandwidth
from ebmlm.kernels.distances import Gaussian
from ebmlm.kernels.features import FeatureKernel
from ebmlm.kernels.vectors import VectorKernel
from ebmlm.language_model import LanguageModel
from ebmlm.objectives.anchor_recipes import AnchorRecipe, placed
from ebmlm.objectives.cross_entropy import CrossEntropy
from ebmlm.objectives.cross_entropy_weight import CrossEntropyWeight
from ebmlm.objectives.feature_recipes import FeatureRecipe
from ebmlm.objectives.matched_features import matched_features
from ebmlm.objectives.policy import PolicyObjective
from ebmlm.samplers.anchors import AnchorPlacement, StridedAnchors
from ebmlm.samplers.autoregressive import AutoregressiveSampler
from ebmlm.samplers.block_parallel import BlockParallelSampler
from ebmlm.texts import Texts
from ebmlm.verifiers.base import Verifier

__all__ = ["ebft", "ebft_unbiased", "mmd", "rlvr", "sft"]


def ebft(
    model: LanguageModel,
    texts: Texts | None = None,
    *,
    anchors: AnchorPlacement | AnchorRecipe | None = None,
    horizon: int = 8,
    stride: int = 8,
    context: int = 8,
    samples: int = 4,
    distribution: TokenDistribution | None = None,
    layers: LayerChoice | None = None,
    pooling: Pooling | None = None,
    normalisation: Normalisation | None = None,
    whitening: Whitening | None = None,
    alignment: float = 1.0,
    diversity: float = 1.0,
    similarity: Similarity = cosine,
    kl: float = 0.0,
    cross_entropy: float | CrossEntropyWeight = 0.03,
    estimator: Estimator | None = None,
    features: FeatureRecipe | None = None,
    network: LanguageModel | None = None,
) -> PolicyObjective:
    """Energy-based fine-tuning as published (Jelassi et al. 2026).

    Args:
        model: the policy. The feature network and the reference are taken from it as it is now.
        texts: of the run; looked at by recipes of anchors and features alone.
        anchors: where rollouts start; by default every ``stride`` tokens after ``context``. For
            prompt-completion pairs, ``CompletionAnchors``. Or a recipe of
            :mod:`ebmlm.objectives.anchor_recipes`.
        horizon: tokens of a rollout at most.
        stride: tokens between anchors.
        context: tokens before a sequence's first anchor.
        samples: rollouts per anchor.
        distribution: how tokens are drawn; by default at temperature 1 without truncation.
        layers: of the feature network; by default a quarter, a half and three quarters up.
        pooling: by default the last token.
        normalisation: by default the layers jointly to length one.
        whitening: by default feature-space, per anchor. ``NoWhitening()`` switches it off.
        alignment: coefficient of likeness to the real continuation.
        diversity: coefficient of the rollouts' likeness to each other.
        similarity: of rollouts and real continuation: ``cosine`` as published, or
            ``inner_product``, which keeps alignment and diversity on one scale in any metric.
        kl: coefficient beta of the KL divergence from the starting model, in nats a rollout.
        cross_entropy: weight gamma of cross-entropy, nats a token; the paper tries 0, 0.03, 0.1.
            Or what chooses it: ``GradientShare``.
        estimator: by default RLOO with token-mean credit, as in the paper's code.
        features: what is matched instead of hidden states: a recipe of
            :mod:`ebmlm.objectives.feature_recipes`, or any callable of the policy and the texts.
        network: the feature network; by default a frozen copy of the policy.

    Raises:
        UserError: for an option out of range, or parts that do not fit together.
    """
    frozen = model.frozen() if kl or (network is None and features is None) else None
    matched = matched_features(
        model, texts, features, network or frozen, layers, pooling, normalisation, network
    )
    whitening = FeatureSpaceWhitening() if whitening is None else whitening
    energy: Energy = FeatureMatchingEnergy(
        matched, alignment, diversity, whitening, similarity=similarity
    )
    if not 0 <= kl < float("inf"):
        raise UserError(f"kl is {kl}: the coefficient must be finite and at least 0")
    if kl:
        energy = energy + kl * KLEnergy()
    placement = placed(model, texts, anchors, StridedAnchors(stride, context))
    sampler = BlockParallelSampler(placement, horizon, samples, distribution)
    estimator = RLOO(mean_token_log_prob) if estimator is None else estimator
    return PolicyObjective(
        sampler, energy, estimator, reference=frozen if kl else None, cross_entropy=cross_entropy
    )


def ebft_unbiased(
    model: LanguageModel,
    texts: Texts | None = None,
    *,
    anchors: AnchorPlacement | AnchorRecipe | None = None,
    horizon: int = 8,
    stride: int = 8,
    context: int = 8,
    samples: int = 4,
    temperature: float = 1.0,
    layers: LayerChoice | None = None,
    whitening: Whitening | None = None,
    cross_entropy: float | CrossEntropyWeight = 0.03,
    features: FeatureRecipe | None = None,
) -> PolicyObjective:
    """Feature matching whose expected gradient is exactly that of ``E || E_p[phi] - phi* ||^2``.

    Plain inner products, sequence credit, and no per-anchor whitening (a metric that does not
    depend on the rollouts is allowed). Options as in :func:`ebft`.
    """
    frozen = model.frozen() if features is None else None
    energy = FeatureMatchingEnergy(
        matched_features(model, texts, features, frozen, layers),
        whitening=NoWhitening() if whitening is None else whitening,
        similarity=inner_product,
    )
    placement = placed(model, texts, anchors, StridedAnchors(stride, context))
    sampler = BlockParallelSampler(placement, horizon, samples, Categorical(temperature))
    return PolicyObjective(sampler, energy, RLOO(), cross_entropy=cross_entropy)


def mmd(
    model: LanguageModel,
    texts: Texts | None = None,
    *,
    kernel: VectorKernel | None = None,
    anchors: AnchorPlacement | AnchorRecipe | None = None,
    horizon: int = 8,
    stride: int = 8,
    context: int = 8,
    samples: int = 4,
    distribution: TokenDistribution | None = None,
    layers: LayerChoice | None = None,
    pooling: Pooling | None = None,
    normalisation: Normalisation | None = None,
    whitening: Whitening | None = None,
    alignment: float = 1.0,
    diversity: float = 1.0,
    kl: float = 0.0,
    cross_entropy: float | CrossEntropyWeight = 0.03,
    estimator: Estimator | None = None,
    features: FeatureRecipe | None = None,
    network: LanguageModel | None = None,
) -> PolicyObjective:
    """Matching in the space of a kernel: the squared maximum mean discrepancy is minimised.

    With the kernel ``Linear()`` it is :func:`ebft_unbiased` (docs/mathematics.md, "Kernel
    matching").

    Args:
        model: the policy. The feature network and the reference are taken from it as it is now.
        texts: not looked at.
        kernel: of feature vectors; by default Gaussian, its bandwidth the median distance between
            the real continuations of a batch.
        anchors: where rollouts start; by default every ``stride`` tokens after ``context``.
        horizon: tokens of a rollout at most.
        stride: tokens between anchors.
        context: tokens before a sequence's first anchor.
        samples: rollouts per anchor.
        distribution: how tokens are drawn; by default at temperature 1 without truncation.
        layers: of the feature network; by default a quarter, a half and three quarters up.
        pooling: by default the last token.
        normalisation: by default the layers jointly to length one.
        whitening: by default none.
        alignment: coefficient of likeness to the real continuation.
        diversity: coefficient of the rollouts' likeness to each other.
        kl: coefficient beta of the KL divergence from the starting model, in nats a rollout.
        cross_entropy: weight gamma of cross-entropy, nats a token.
        estimator: by default RLOO with sequence credit, which is unbiased.
        features: what the kernel compares instead of hidden states; see :func:`ebft`.
        network: the feature network; by default a frozen copy of the policy.

    Raises:
        UserError: for an option out of range, or parts that do not fit together.
    """
    frozen = model.frozen() if kl or (network is None and features is None) else None
    matched = matched_features(
        model, texts, features, network or frozen, layers, pooling, normalisation, network
    )
    kernel = Gaussian(MedianBandwidth()) if kernel is None else kernel
    energy: Energy = KernelMatchingEnergy(
        FeatureKernel(matched, kernel, whitening), alignment, diversity
    )
    if not 0 <= kl < float("inf"):
        raise UserError(f"kl is {kl}: the coefficient must be finite and at least 0")
    if kl:
        energy = energy + kl * KLEnergy()
    placement = placed(model, texts, anchors, StridedAnchors(stride, context))
    return PolicyObjective(
        BlockParallelSampler(placement, horizon, samples, distribution),
        energy,
        RLOO() if estimator is None else estimator,
        reference=frozen if kl else None,
        cross_entropy=cross_entropy,
    )


def rlvr(
    model: LanguageModel,
    texts: Texts,
    *,
    verifier: Verifier,
    horizon: int = 128,
    samples: int = 8,
    distribution: TokenDistribution | None = None,
    kl: float = 0.0,
    cross_entropy: float = 0.0,
    excess_length: float = 0.0,
    estimator: Estimator | None = None,
) -> PolicyObjective:
    """Reinforcement learning with verifiable rewards: whole completions, scored by a verifier.

    Args:
        model: the policy. The reference of a KL term is taken from it as it is now.
        texts: the tokeniser and items of the run's prompt-completion pairs.
        verifier: scores completions; the reward is the score.
        horizon: tokens of a completion at most.
        samples: completions per prompt.
        distribution: how tokens are drawn; by default at temperature 1 without truncation.
        kl: coefficient beta of the KL divergence from the starting model, in nats a completion.
        cross_entropy: weight gamma of cross-entropy on the real completions, nats a token.
        excess_length: what a token of a completion costs, in units of the score.
        estimator: by default RLOO with sequence credit, which is unbiased. ``GroupNorm()`` is
            GRPO's.

    Raises:
        UserError: for an option out of range, or parts that do not fit together.
    """
    for name, value in (("kl", kl), ("excess_length", excess_length)):
        if not 0 <= value < float("inf"):
            raise UserError(f"{name} is {value}: the coefficient must be finite and at least 0")
    energy: Energy = VerifierEnergy(verifier, texts)
    if kl:
        energy = energy + kl * KLEnergy()
    if excess_length:
        energy = energy + excess_length * LengthEnergy()
    return PolicyObjective(
        AutoregressiveSampler(horizon, samples, distribution),
        energy,
        RLOO() if estimator is None else estimator,
        reference=model.frozen() if kl else None,
        cross_entropy=cross_entropy,
    )


def sft(model: LanguageModel, texts: Texts | None = None) -> CrossEntropy:
    """Supervised fine-tuning: cross-entropy alone; neither ``model`` nor ``texts`` is looked at.

    On prompt-completion pairs it is that of the completions.
    """
    return CrossEntropy()
