"""Every implementation in the package, and every deliberate bug, by the kind of part it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import torch

from ebmlm.distribution import Categorical
from ebmlm.divergences import Divergence, ForwardKL, JensenShannon, ReverseKL, TotalVariation
from ebmlm.energies import (
    ExpertEnergy,
    FeatureMatchingEnergy,
    FixedFeatures,
    FunctionEnergy,
    Head,
    KernelMatchingEnergy,
    KLEnergy,
    LengthEnergy,
    LinearEnergy,
    Representation,
    ResidualEnergy,
    TrainedStates,
    VerifierEnergy,
    cosine,
)
from ebmlm.estimators import (
    RLOO,
    BinaryNCE,
    ContrastiveLoss,
    EnergyMagnitude,
    GroupNorm,
    PhaseDifference,
    RankingNCE,
    Reinforce,
    mean_token_log_prob,
    sequence_log_prob,
)
from ebmlm.features import (
    BatchMetricWhitening,
    Concatenated,
    Depths,
    EncoderFeatures,
    Features,
    FeatureSpaceWhitening,
    FunctionFeatures,
    HiddenStateFeatures,
    LaplaceSpectrum,
    LayerLength,
    MeanToken,
    Metric,
    MetricWhitening,
    NGramFeatures,
    Normalised,
    PerToken,
    Projected,
    Quartiles,
    RandomFourierFeatures,
    RandomProjection,
    RunningMetricWhitening,
    SampleSpaceWhitening,
    TextReading,
    TokenReading,
    Unnormalised,
    Whitened,
)
from ebmlm.kernels import (
    FeatureKernel,
    Gaussian,
    Laplace,
    Linear,
    MedianBandwidth,
    NGramKernel,
    NormalisedKernel,
    Polynomial,
    RationalQuadratic,
    SubsequenceKernel,
    VectorKernel,
)
from ebmlm.language_model import LanguageModel
from ebmlm.objectives import EnergyObjective, PolicyObjective, recipes
from ebmlm.rollouts import Rollouts
from ebmlm.samplers import (
    AutoregressiveSampler,
    BlockParallelSampler,
    CompletionAnchors,
    GivenAnchors,
    StridedAnchors,
)
from ebmlm.state import alone
from ebmlm.targets import (
    DataChains,
    DivergenceEnergy,
    EnergyModel,
    FixedPartition,
    Negatives,
    Noise,
    PersistentChains,
    TargetEnergy,
)
from ebmlm.testing import bugs, checks, laws
from ebmlm.testing.report import Report
from ebmlm.testing.tabular import TabularLanguageModel
from ebmlm.testing.tiny import tiny_encoder, tiny_transformer
from ebmlm.texts import Texts
from ebmlm.verifiers import FunctionVerifier

__all__ = ["KINDS", "Kind"]


@dataclass(frozen=True)
class Kind:
    """One kind of part.

    Attributes:
        name: of the kind, in the plural.
        laws: that hold for it.
        check: tries all of them on what a maker makes.
        implementations: the package's own, by name: functions that make one.
        bugs: deliberately wrong ones.
        exempt: by the name of an implementation, laws that it may break, with the reason.
    """

    name: str
    laws: tuple[Callable[..., None], ...]
    check: Callable[..., Report]
    implementations: Mapping[str, Callable[[], Any]]
    bugs: tuple[bugs.Bug, ...]
    exempt: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def _table(ends: tuple[int, ...] = ()) -> TabularLanguageModel:
    generator = torch.Generator().manual_seed(0)
    return TabularLanguageModel(3, 4, end_tokens=ends, hidden=3, generator=generator)


def _features(**options: Any) -> HiddenStateFeatures:
    return HiddenStateFeatures(_table().frozen(), **options)


def _matching(**options: Any) -> FeatureMatchingEnergy:
    return FeatureMatchingEnergy(_features(), **options)


def _metric() -> MetricWhitening:
    generator = torch.Generator().manual_seed(2)
    return MetricWhitening(Metric.of(torch.randn(9, 9, generator=generator, dtype=torch.float64)))


def _kernel(function: VectorKernel, **options: float) -> KernelMatchingEnergy:
    return KernelMatchingEnergy(FeatureKernel(_features(), function), **options)


def _divergence(divergence: Divergence) -> DivergenceEnergy:
    """Of a length's target whose partition function is taken for known."""
    target = EnergyModel(_table().frozen(), LengthEnergy(1), 2.0)
    return DivergenceEnergy(target, divergence, FixedPartition(-0.4))


def _length(rollouts: Rollouts) -> torch.Tensor:
    return rollouts.token_mask().sum(-1).double()


class _Digits:
    """A tokeniser whose texts are the token ids."""

    def decode(self, tokens: list[int], **options: Any) -> str:
        return "".join(map(str, tokens))


def _texts() -> Texts:
    return Texts(cast(Any, _Digits()), {})


def _verified() -> VerifierEnergy:
    verifier = FunctionVerifier(lambda prompt, text, row: text.count("1") / 4)
    return VerifierEnergy(verifier, _texts())


def _running() -> FeatureMatchingEnergy:
    """Whitened by the average over one step that is over."""
    whitening = RunningMetricWhitening()
    vectors = torch.randn(2, 4, 9, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    seen = Features(vectors.unsqueeze(2), vectors, (9,))
    whitening(seen, torch.ones(2, 4, dtype=torch.bool))
    whitening.end_step(alone)
    return _matching(whitening=whitening)


def _residual(representation: Representation, hidden: tuple[int, ...] = (3,)) -> ResidualEnergy:
    """With weights as if it had learned something."""
    assert representation.width is not None
    head = Head(representation.width, hidden).double()
    generator = torch.Generator().manual_seed(4)
    weight = head.output.weight
    with torch.no_grad():
        weight.copy_(torch.randn(weight.shape, generator=generator, dtype=torch.float64))
    return ResidualEnergy(representation, head)


def _contrasted(
    negatives: Callable[..., Negatives], contrast: ContrastiveLoss, **options: Any
) -> Callable[[], Any]:
    def recipe(model: LanguageModel) -> EnergyObjective:
        sampler = BlockParallelSampler(StridedAnchors(2, 1), 2, 2, **options)
        energy = _residual(FixedFeatures(HiddenStateFeatures(model.frozen())))
        return EnergyObjective(negatives(sampler, model.end_tokens), energy, contrast)

    return lambda: recipe


def _lengths_of_texts(texts: Sequence[str]) -> torch.Tensor:
    return torch.tensor([[len(text), text.count("1")] for text in texts], dtype=torch.float64)


def _group_norm(model: LanguageModel) -> PolicyObjective:
    sampler = BlockParallelSampler(StridedAnchors(1, 2), 3, 2, Categorical(0.8, top_p=0.9))
    return PolicyObjective(sampler, FunctionEnergy(_length), GroupNorm())


def _prompted(model: LanguageModel) -> PolicyObjective:
    sampler = BlockParallelSampler(GivenAnchors(), 2, 2, Categorical(0.8, top_p=0.9))
    energy = FunctionEnergy(_length) + 0.1 * KLEnergy()
    return PolicyObjective(sampler, energy, RLOO(), reference=model.frozen(), cross_entropy=0.1)


def _small(recipe: Callable[..., Any], **options: Any) -> Callable[[], Any]:
    small = partial(recipe, horizon=2, stride=2, context=1, samples=2, **options)
    return lambda: small


ESTIMATORS = Kind(
    "estimators",
    laws.ESTIMATOR_LAWS,
    checks.check_estimator,
    {
        "RLOO": RLOO,
        "RLOO, token mean": partial(RLOO, mean_token_log_prob),
        "Reinforce": Reinforce,
        "Reinforce, baseline 2": partial(Reinforce, 2.0),
        "Reinforce, token mean": partial(Reinforce, credit=mean_token_log_prob),
        "GroupNorm": GroupNorm,
        "GroupNorm, sequence": partial(GroupNorm, sequence_log_prob),
    },
    bugs.ESTIMATOR_BUGS,
)

ENERGIES = Kind(
    "energies",
    laws.ENERGY_LAWS,
    checks.check_energy,
    {
        "FeatureMatching": _matching,
        "FeatureMatching, cosine": partial(_matching, diversity=0.5, similarity=cosine),
        "FeatureMatching, alignment": partial(_matching, diversity=0.0),
        "FeatureMatching, layers apart": lambda: FeatureMatchingEnergy(_features(apart=True)),
        "FeatureMatching, feature space": partial(
            _matching, whitening=FeatureSpaceWhitening(), similarity=cosine
        ),
        "FeatureMatching, sample space": partial(
            _matching, whitening=SampleSpaceWhitening(), similarity=cosine
        ),
        "FeatureMatching, metric": lambda: _matching(whitening=_metric()),
        "FeatureMatching, batch metric": partial(_matching, whitening=BatchMetricWhitening()),
        "FeatureMatching, running metric": _running,
        "KL": KLEnergy,
        "Linear": lambda: LinearEnergy(_features(), torch.arange(9.0)),
        "Expert": lambda: ExpertEnergy(_table().frozen()),
        "Target": lambda: TargetEnergy(EnergyModel(_table().frozen(), LengthEnergy(1))),
        "Divergence, forward KL": lambda: _divergence(ForwardKL()),
        "Divergence, reverse KL": lambda: _divergence(ReverseKL()),
        "Divergence, Jensen-Shannon": lambda: _divergence(JensenShannon()),
        "Divergence, total variation": lambda: _divergence(TotalVariation()),
        "Divergence, group's partition": lambda: DivergenceEnergy(
            EnergyModel(_table().frozen(), LengthEnergy(1))
        ),
        "KernelMatching, linear": lambda: _kernel(Linear()),
        "KernelMatching, Gaussian": lambda: _kernel(Gaussian(0.5)),
        "KernelMatching, Laplace": lambda: _kernel(Laplace(2.0), diversity=0.5),
        "KernelMatching, mixture": lambda: _kernel(Polynomial(2) + 0.5 * RationalQuadratic(0.5)),
        "KernelMatching, median bandwidth": lambda: _kernel(Gaussian(MedianBandwidth())),
        "KernelMatching, n-grams": lambda: KernelMatchingEnergy(
            NormalisedKernel(NGramKernel([1.0, 1.0]))
        ),
        "KernelMatching, subsequences": lambda: KernelMatchingEnergy(
            NormalisedKernel(SubsequenceKernel(0.5))
        ),
        "FeatureMatching + 0.1 KL": lambda: _matching() + 0.1 * KLEnergy(),
        "FunctionEnergy": partial(FunctionEnergy, _length),
        "Length": partial(LengthEnergy, 1),
        "Residual": lambda: _residual(FixedFeatures(_features())),
        "Residual, linear": lambda: _residual(FixedFeatures(NGramFeatures((1, 2), 8)), ()),
        "Residual, trained network": lambda: _residual(
            TrainedStates(HiddenStateFeatures(tiny_transformer(), pooling=MeanToken()))
        ),
        "Verifier": _verified,
    },
    bugs.ENERGY_BUGS,
    {
        "FeatureMatching, batch metric": {
            "neighbours_move_no_energy": "one metric for the whole batch"
        },
        **{
            f"Divergence, {name}": {
                "first_variation": "its functional is the divergence, whose value is not the mean"
                " energy (its gradient is shown exact in tests/targets)"
            }
            for name in ("forward KL", "Jensen-Shannon")
        },
        "KernelMatching, median bandwidth": {
            "neighbours_move_no_energy": "one bandwidth for the whole batch"
        },
    },
)

SAMPLERS = Kind(
    "samplers",
    laws.SAMPLER_LAWS,
    checks.check_sampler,
    {
        "BlockParallel": BlockParallelSampler,
        "BlockParallel, dense": lambda: BlockParallelSampler(StridedAnchors(1, 1), 2, 3),
        "BlockParallel, nucleus": lambda: BlockParallelSampler(
            StridedAnchors(2, 3), 3, 1, Categorical(0.6, top_p=0.7)
        ),
        "BlockParallel, given anchors": lambda: BlockParallelSampler(GivenAnchors(), 3, 2),
        "Autoregressive": partial(AutoregressiveSampler, 3, 2),
        "Autoregressive, long": partial(AutoregressiveSampler, 10, 1),
        "Autoregressive, nucleus": partial(
            AutoregressiveSampler, 3, 3, Categorical(0.7, top_k=2, top_p=0.9), GivenAnchors()
        ),
        "Autoregressive, within completions": partial(
            AutoregressiveSampler, 2, 2, anchors=CompletionAnchors(stride=2)
        ),
    },
    bugs.SAMPLER_BUGS,
)

FEATURE_MAPS = Kind(
    "feature maps",
    laws.FEATURE_MAP_LAWS,
    checks.check_feature_map,
    {
        "HiddenStates": _features,
        "HiddenStates, mean token": partial(_features, pooling=MeanToken()),
        "HiddenStates, quartiles": partial(_features, pooling=Quartiles(), apart=True),
        "HiddenStates, per token": partial(_features, pooling=PerToken()),
        "HiddenStates, layer length": partial(_features, normalisation=LayerLength()),
        "HiddenStates, unnormalised": partial(
            _features, layers=Depths([0.0, 1.0]), normalisation=Unnormalised()
        ),
        "HiddenStates of a Llama": lambda: HiddenStateFeatures(tiny_transformer()),
        "Encoder": lambda: EncoderFeatures(tiny_encoder(), _texts(), context=2),
        "Function of tokens": lambda: FunctionFeatures(
            lambda rows: torch.tensor([[float(sum(row))] for row in rows]), 1, TokenReading(1)
        ),
        "Function of text": lambda: FunctionFeatures(
            _lengths_of_texts, 2, TextReading(_texts()), batch_size=2, kept=3
        ),
        "NGrams": partial(NGramFeatures, (1, 2), 8),
        "NGrams of characters": lambda: NGramFeatures(
            (2,), 4, TextReading(_texts(), 2), normalised=False
        ),
        "Concatenated": lambda: Concatenated([_features(), NGramFeatures((1,), 3)], [0.5, 2.0]),
        "Concatenated, apart": lambda: Concatenated(
            [_features(apart=True), 2 * NGramFeatures((1,), 3)], apart=True
        ),
        "Scaled": lambda: 0.5 * _features(),
        "Normalised": lambda: Normalised(
            _features(apart=True, normalisation=Unnormalised()), apart=True
        ),
        "Projected": lambda: Projected(_features(), torch.eye(9)[:2]),
        "RandomProjection": lambda: RandomProjection(_features(), 4),
        "RandomFourier": lambda: RandomFourierFeatures(_features(), frequencies=5),
        "RandomFourier, Laplace": lambda: RandomFourierFeatures(
            _features(), LaplaceSpectrum(2.0), frequencies=5
        ),
        "Whitened": lambda: Whitened(_features(), _metric().metric),
    },
    bugs.FEATURE_MAP_BUGS,
)

LANGUAGE_MODELS = Kind(
    "language models",
    laws.LANGUAGE_MODEL_LAWS,
    checks.check_language_model,
    {
        "Tabular": _table,
        "Tabular, ends": partial(_table, (1,)),
        "Transformers, Llama": partial(tiny_transformer, end_tokens=(2,), num_key_value_heads=2),
        "Transformers, GPT-NeoX": partial(tiny_transformer, "gpt_neox"),
        "Transformers, OPT": partial(
            tiny_transformer, "opt", ffn_dim=24, word_embed_proj_dim=16, pad_token_id=0
        ),
    },
    bugs.LANGUAGE_MODEL_BUGS,
)

OBJECTIVES = Kind(
    "objectives",
    laws.OBJECTIVE_LAWS,
    checks.check_objective,
    {
        "EBFT": lambda: recipes.ebft,
        "EBFT with KL": _small(recipes.ebft, kl=0.1),
        "EBFT, top-p": _small(
            recipes.ebft, distribution=Categorical(0.6, top_p=0.8), cross_entropy=0.0
        ),
        "EBFT, unbiased": lambda: recipes.ebft_unbiased,
        "EBFT, unbiased, small": _small(recipes.ebft_unbiased, temperature=0.7),
        "MMD": _small(recipes.mmd, kernel=Gaussian(0.5)),
        "MMD, median bandwidth": _small(recipes.mmd),
        "SFT": lambda: recipes.sft,
        "NCE": _contrasted(Noise, BinaryNCE() + 0.1 * EnergyMagnitude()),
        "NCE, tempered noise": _contrasted(Noise, BinaryNCE(), distribution=Categorical(0.7)),
        "NCE, ranking": _contrasted(Noise, RankingNCE()),
        "Contrastive divergence": _contrasted(DataChains, PhaseDifference()),
        "Contrastive divergence, persistent": _contrasted(PersistentChains, PhaseDifference()),
        "GroupNorm of a function": lambda: _group_norm,
        "RLOO on prompts, with KL": lambda: _prompted,
    },
    bugs.OBJECTIVE_BUGS,
    {"MMD, median bandwidth": {"gradients_of_pieces_add_up": "one bandwidth for the whole batch"}},
)

KINDS = (ESTIMATORS, ENERGIES, SAMPLERS, FEATURE_MAPS, LANGUAGE_MODELS, OBJECTIVES)
"""Every kind of part that has laws."""
