"""The package's recipes, and objectives put together by hand."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from ebmlm.distribution import Categorical
from ebmlm.energies import FixedFeatures, FunctionEnergy, KLEnergy, LengthEnergy
from ebmlm.estimators import (
    RLOO,
    BinaryNCE,
    ContrastiveLoss,
    EnergyMagnitude,
    GroupNorm,
    LogVariance,
    PhaseDifference,
    RankingNCE,
)
from ebmlm.features import HiddenStateFeatures
from ebmlm.kernels import (
    Gaussian,
)
from ebmlm.language_model import LanguageModel
from ebmlm.objectives import EnergyObjective, GradientShare, PolicyObjective, recipes
from ebmlm.samplers import (
    BlockParallelSampler,
    GivenAnchors,
    ReplaySampler,
    StridedAnchors,
)
from ebmlm.targets import (
    DataChains,
    DivergenceEnergy,
    EnergyModel,
    Negatives,
    Noise,
    PersistentChains,
    TargetEnergy,
)
from ebmlm.testing import bugs, checks, laws
from ebmlm.testing.catalogue.kind import Kind
from ebmlm.testing.catalogue.parts import (
    length_of,
    tiny_residual,
)

__all__ = ["OBJECTIVES"]


def _group_norm(model: LanguageModel) -> PolicyObjective:
    sampler = BlockParallelSampler(StridedAnchors(1, 2), 3, 2, Categorical(0.8, top_p=0.9))
    return PolicyObjective(sampler, FunctionEnergy(length_of), GroupNorm())


def _prompted(model: LanguageModel) -> PolicyObjective:
    sampler = BlockParallelSampler(GivenAnchors(), 2, 2, Categorical(0.8, top_p=0.9))
    energy = FunctionEnergy(length_of) + 0.1 * KLEnergy()
    return PolicyObjective(sampler, energy, RLOO(), reference=model.frozen(), cross_entropy=0.1)


def _tuned(model: LanguageModel) -> PolicyObjective:
    target = EnergyModel(model.frozen(), LengthEnergy(1), 0.5)
    sampler = BlockParallelSampler(StridedAnchors(2, 1), 2, 2)
    return PolicyObjective(sampler, DivergenceEnergy(target), RLOO())


def _balanced(model: LanguageModel, replayed: int = 0) -> PolicyObjective:
    target = EnergyModel(model.frozen(), LengthEnergy(1), 0.5)
    sampler = BlockParallelSampler(StridedAnchors(2, 1), 2, 2)
    drawn = ReplaySampler(sampler, replayed) if replayed else sampler
    return PolicyObjective(drawn, TargetEnergy(target), LogVariance())


def _small(recipe: Callable[..., Any], **options: Any) -> Callable[[], Any]:
    small = partial(recipe, horizon=2, stride=2, context=1, samples=2, **options)
    return lambda: small


def _contrasted(
    negatives: Callable[..., Negatives], contrast: ContrastiveLoss, **options: Any
) -> Callable[[], Any]:
    def recipe(model: LanguageModel) -> EnergyObjective:
        sampler = BlockParallelSampler(StridedAnchors(2, 1), 2, 2, **options)
        energy = tiny_residual(FixedFeatures(HiddenStateFeatures(model.frozen())))
        return EnergyObjective(negatives(sampler, model.end_tokens), energy, contrast)

    return lambda: recipe


OBJECTIVES = Kind(
    "objectives",
    laws.OBJECTIVE_LAWS,
    checks.check_objective,
    {
        "EBFT": lambda: recipes.ebft,
        "EBFT with KL": _small(recipes.ebft, kl=0.1),
        "EBFT, share of the gradient": _small(recipes.ebft, cross_entropy=GradientShare()),
        "EBFT, top-p": _small(
            recipes.ebft, distribution=Categorical(0.6, top_p=0.8), cross_entropy=0.0
        ),
        "EBFT, unbiased": lambda: recipes.ebft_unbiased,
        "EBFT, unbiased, small": _small(recipes.ebft_unbiased, temperature=0.7),
        "MMD": _small(recipes.mmd, kernel=Gaussian(0.5)),
        "MMD, median bandwidth": _small(recipes.mmd),
        "SFT": lambda: recipes.sft,
        "DPG": lambda: _tuned,
        "Log-variance": lambda: _balanced,
        "Log-variance, replay": lambda: partial(_balanced, replayed=1),
        "NCE": _contrasted(Noise, BinaryNCE() + 0.1 * EnergyMagnitude()),
        "NCE, tempered noise": _contrasted(Noise, BinaryNCE(), distribution=Categorical(0.7)),
        "NCE, ranking": _contrasted(Noise, RankingNCE()),
        "Contrastive divergence": _contrasted(DataChains, PhaseDifference()),
        "Contrastive divergence, persistent": _contrasted(PersistentChains, PhaseDifference()),
        "GroupNorm of a function": lambda: _group_norm,
        "RLOO on prompts, with KL": lambda: _prompted,
    },
    bugs.OBJECTIVE_BUGS,
    {
        "MMD, median bandwidth": {
            "gradients_of_pieces_add_up": "one bandwidth for the whole batch"
        },
        **{
            name: {
                "expected_gradient_descends": "its functional is the divergence from the target,"
                " which has the policy's entropy beside the energy (shown exact in tests/targets)"
            }
            for name in ("Log-variance", "Log-variance, replay")
        },
    },
)
