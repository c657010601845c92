"""The package's energies."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from ebmlm.divergences import Divergence, ForwardKL, JensenShannon, ReverseKL, TotalVariation
from ebmlm.energies import (
    ConstraintEnergy,
    ExpertEnergy,
    FeatureMatchingEnergy,
    FixedFeatures,
    FunctionEnergy,
    KernelMatchingEnergy,
    KLEnergy,
    LengthEnergy,
    LinearEnergy,
    TrainedStates,
    VerifierEnergy,
    cosine,
)
from ebmlm.features import (
    BatchMetricWhitening,
    Features,
    FeatureSpaceWhitening,
    HiddenStateFeatures,
    MeanToken,
    NGramFeatures,
    RunningMetricWhitening,
    SampleSpaceWhitening,
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
from ebmlm.state import alone
from ebmlm.targets import (
    DivergenceEnergy,
    EnergyModel,
    FixedPartition,
    LeaveOneOutPartition,
    TargetEnergy,
)
from ebmlm.testing import bugs, checks, laws
from ebmlm.testing.catalogue.kind import Kind
from ebmlm.testing.catalogue.parts import (
    length_of,
    texts_of_digits,
    tiny_features,
    tiny_metric,
    tiny_residual,
    tiny_table,
)
from ebmlm.testing.tiny import tiny_transformer
from ebmlm.verifiers import FunctionVerifier

__all__ = ["ENERGIES"]


def _matching(**options: Any) -> FeatureMatchingEnergy:
    return FeatureMatchingEnergy(tiny_features(), **options)


def _kernel(function: VectorKernel, **options: float) -> KernelMatchingEnergy:
    return KernelMatchingEnergy(FeatureKernel(tiny_features(), function), **options)


def _divergence(divergence: Divergence) -> DivergenceEnergy:
    """Of a length's target whose partition function is taken for known."""
    target = EnergyModel(tiny_table().frozen(), LengthEnergy(1), 2.0)
    return DivergenceEnergy(target, divergence, FixedPartition(-0.4))


def _verified() -> VerifierEnergy:
    verifier = FunctionVerifier(lambda prompt, text, row: text.count("1") / 4)
    return VerifierEnergy(verifier, texts_of_digits())


def _running() -> FeatureMatchingEnergy:
    """Whitened by the average over one step that is over."""
    whitening = RunningMetricWhitening()
    vectors = torch.randn(2, 4, 9, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    seen = Features(vectors.unsqueeze(2), vectors, (9,))
    whitening(seen, torch.ones(2, 4, dtype=torch.bool))
    whitening.end_step(alone)
    return _matching(whitening=whitening)


ENERGIES = Kind(
    "energies",
    laws.ENERGY_LAWS,
    checks.check_energy,
    {
        "FeatureMatching": _matching,
        "FeatureMatching, cosine": partial(_matching, diversity=0.5, similarity=cosine),
        "FeatureMatching, alignment": partial(_matching, diversity=0.0),
        "FeatureMatching, layers apart": lambda: FeatureMatchingEnergy(tiny_features(apart=True)),
        "FeatureMatching, feature space": partial(
            _matching, whitening=FeatureSpaceWhitening(), similarity=cosine
        ),
        "FeatureMatching, sample space": partial(
            _matching, whitening=SampleSpaceWhitening(), similarity=cosine
        ),
        "FeatureMatching, metric": lambda: _matching(whitening=tiny_metric()),
        "FeatureMatching, batch metric": partial(_matching, whitening=BatchMetricWhitening()),
        "FeatureMatching, running metric": _running,
        "KL": KLEnergy,
        "Linear": lambda: LinearEnergy(tiny_features(), torch.arange(9.0)),
        "Expert": lambda: ExpertEnergy(tiny_table().frozen()),
        "Target": lambda: TargetEnergy(EnergyModel(tiny_table().frozen(), LengthEnergy(1))),
        "Divergence, forward KL": lambda: _divergence(ForwardKL()),
        "Divergence, reverse KL": lambda: _divergence(ReverseKL()),
        "Divergence, Jensen-Shannon": lambda: _divergence(JensenShannon()),
        "Divergence, total variation": lambda: _divergence(TotalVariation()),
        "Divergence, group's partition": lambda: DivergenceEnergy(
            EnergyModel(tiny_table().frozen(), LengthEnergy(1))
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
        "FunctionEnergy": partial(FunctionEnergy, length_of),
        "Length": partial(LengthEnergy, 1),
        "Residual": lambda: tiny_residual(FixedFeatures(tiny_features())),
        "Residual, linear": lambda: tiny_residual(FixedFeatures(NGramFeatures((1, 2), 8)), ()),
        "Residual, trained network": lambda: tiny_residual(
            TrainedStates(HiddenStateFeatures(tiny_transformer(), pooling=MeanToken()))
        ),
        "Verifier": _verified,
        "Constraint": lambda: ConstraintEnergy(
            lambda attempt: "1" in attempt.completion, texts_of_digits()
        ),
        "Divergence, others' partition": lambda: DivergenceEnergy(
            EnergyModel(tiny_table().frozen(), LengthEnergy(1)), partition=LeaveOneOutPartition()
        ),
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
        "Constraint": {"terms_are_finite": "infinite where it is broken: for energy models alone"},
        "KernelMatching, median bandwidth": {
            "neighbours_move_no_energy": "one bandwidth for the whole batch"
        },
    },
)
