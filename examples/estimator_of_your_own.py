"""An estimator of your own, proven: docs/tutorials/estimator.md walks through this file."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from ebmlm import (
    RLOO,
    Categorical,
    Energy,
    EnergyTerms,
    Estimate,
    Estimator,
    FeatureMatchingEnergy,
    FunctionEnergy,
    HiddenStateFeatures,
    KLEnergy,
    Reinforce,
    Rollouts,
    SequenceBatch,
)
from ebmlm.estimators import leave_one_out_baseline, policy_gradient, sequence_log_prob
from ebmlm.testing import (
    BrokenLaws,
    GradientMoments,
    TabularLanguageModel,
    check_estimator,
    estimator_moments,
    measure_bias,
)
from ebmlm.typing import BatchAnchorSampleToken

# --8<-- [start:estimator]
Share = Callable[[EnergyTerms], Tensor | float]


class ShrunkenBaseline(Estimator):
    """Each rollout's energy less a share of RLOO's baseline, which is noisy in small groups."""

    minimum_samples = 2

    def __init__(self, share: Share) -> None:
        self.share = share

    def __call__(
        self, log_probs: BatchAnchorSampleToken, terms: EnergyTerms, rollouts: Rollouts
    ) -> Estimate:
        """See :meth:`Estimator.__call__`."""
        advantages = terms.per_sample() - self.share(terms) * leave_one_out_baseline(terms)
        return policy_gradient(log_probs, advantages, rollouts, sequence_log_prob)


# --8<-- [end:estimator]


# --8<-- [start:first]
def fitted_on_the_group(terms: EnergyTerms) -> Tensor:
    """Least squares: the share of the baseline that explains most of the group's energies."""
    energies, baseline = terms.per_sample(), leave_one_out_baseline(terms)
    products = (energies * baseline).sum(-1, keepdim=True)
    squares = baseline.square().sum(-1, keepdim=True)
    return (products / squares.clamp(min=1e-30)).clamp(0, 1)


# --8<-- [end:first]


# --8<-- [start:verdict]
EXEMPT = {"constants_cancel": "a part of any constant stays; in expectation it vanishes"}


def broken_laws(console: Console, share: Share) -> set[str]:
    """Check an estimator and print what was found, with the first counterexample in full."""
    estimator = ShrunkenBaseline(share)
    bias = measure_bias(estimator)
    off = f"off by {bias.relative:.0%} of its length, cosine {1 - bias.angle:.2f}"
    console.print(f"{share.__name__}: gradient {off}")
    try:
        report = check_estimator(estimator, exempt=EXEMPT, name=share.__name__)
    except BrokenLaws as found:
        broken = found.report.broken
        names = [finding.law for finding in broken]
        console.print(f"breaks {', '.join(names)}\n{broken[0].detail}\n")
        return set(names)
    console.print(f"{report}\n")
    return set()


# --8<-- [end:verdict]


# --8<-- [start:second]
def fitted_on_the_others(terms: EnergyTerms) -> Tensor:
    """The same, with each sample left out of the sums that its own share is made of."""
    energies, baseline = terms.per_sample(), leave_one_out_baseline(terms)
    products, squares = energies * baseline, baseline.square()
    products = products.sum(-1, keepdim=True) - products
    squares = squares.sum(-1, keepdim=True) - squares
    return (products / squares.clamp(min=1e-30)).clamp(0, 1)


# --8<-- [end:second]


# --8<-- [start:mended]
def half(terms: EnergyTerms) -> float:
    """A number that no sample can move."""
    return 0.5


# --8<-- [end:mended]


# --8<-- [start:world]
TABLE, REFERENCE = (
    TabularLanguageModel(vocabulary=2, order=4, generator=torch.Generator().manual_seed(seed))
    for seed in (0, 1)
)
TEXT = SequenceBatch.of(torch.tensor([[0, 1, 1, 0]]))
MATCHING = FeatureMatchingEnergy(HiddenStateFeatures(TABLE.frozen()))


def misses(rollouts: Rollouts) -> Tensor:
    """0 where a rollout says what the text says, 1 elsewhere."""
    return (rollouts.completions != rollouts.references.unsqueeze(2)).any(-1).double()


def ten(rollouts: Rollouts) -> Tensor:
    """A large constant."""
    return torch.full(rollouts.completions.shape[:3], 10.0)


ENERGIES: dict[str, Energy] = {
    "feature matching": MATCHING,
    "KL to a reference": KLEnergy(),
    "exact match, 0 or 1": FunctionEnergy(misses),
    "feature matching + 10": MATCHING + FunctionEnergy(ten),
}


def moments(energy: Energy, estimator: Estimator) -> GradientMoments:
    """Exact mean and variance of the gradient, over every group of three rollouts."""
    return estimator_moments(
        TABLE,
        TABLE.logits,
        TEXT,
        anchor=2,
        energy=energy,
        estimator=estimator,
        distribution=Categorical(),
        samples=3,
        horizon=2,
        reference=REFERENCE,
    )


# --8<-- [end:world]


# --8<-- [start:comparison]
class Row(NamedTuple):
    """Exact variances, and how far the fit's expected gradient is off, relative to its length."""

    plain: float
    halved: float
    rloo: float
    fitted: float
    off: float

    @classmethod
    def of(cls, energy: Energy) -> Row:
        """Measure them, and make sure that the first three have the same expected gradient."""
        plain = moments(energy, Reinforce())
        halved = moments(energy, ShrunkenBaseline(half))
        rloo = moments(energy, RLOO())
        fitted = moments(energy, ShrunkenBaseline(fitted_on_the_group))
        torch.testing.assert_close(halved.mean, plain.mean, atol=1e-10, rtol=0)
        torch.testing.assert_close(rloo.mean, plain.mean, atol=1e-10, rtol=0)
        off = (fitted.mean - plain.mean).norm() / plain.mean.norm()
        numbers = (plain.variance, halved.variance, rloo.variance, fitted.variance, off)
        return cls._make(map(float, numbers))

    def best_share(self) -> float:
        """Where the variance, a parabola in the share, is least, from three of its values."""
        return 0.5 - (self.rloo - self.plain) / (self.plain + self.rloo - 2 * self.halved) / 4


# --8<-- [end:comparison]


# --8<-- [start:conclusions]
def compare(console: Console) -> None:
    """Print exact variances, and conclusions that are checked before they are printed."""
    rows = {name: Row.of(energy) for name, energy in ENERGIES.items()}
    table = Table("exact variance", box=None, pad_edge=False)
    for column in ("Reinforce", "half", "RLOO", "best share", "fitted", "off by"):
        table.add_column(column, justify="right")
    for name, row in rows.items():
        three = [f"{variance:.3f}" for variance in row[:3]]
        table.add_row(
            name, *three, f"{row.best_share():.2f}", f"{row.fitted:.3f}", f"{row.off:.0%}"
        )
    console.print(table)

    matching, kl, match, shifted = rows.values()
    claims = {
        "the fit always has a smaller variance than RLOO, and always a wrong gradient": all(
            row.fitted < row.rloo and row.off > 0.01 for row in rows.values()
        ),
        "around zero, half a baseline beats a whole one, and none beats both": all(
            row.plain < row.halved < row.rloo for row in (matching, kl)
        ),
        "for exact match, half a baseline beats none and a whole one": (
            match.halved < min(match.plain, match.rloo)
        ),
        "with a large constant, nothing but the whole baseline will do": (
            5 * shifted.rloo < min(shifted.plain, shifted.halved)
        ),
    }
    for claim, holds in claims.items():
        assert holds, claim
        console.print(f"- {claim}")


# --8<-- [end:conclusions]


def main() -> None:
    """Two estimators that the kit sees through, one that it proves, and what that one is worth."""
    console = Console(width=100, highlight=False, markup=False, soft_wrap=True)
    biased = {
        "unbiased",
        "constants_vanish_in_expectation",
        "baseline_excludes_its_own_sample",
    }
    for share in (fitted_on_the_group, fitted_on_the_others):
        broken = broken_laws(console, share)
        assert broken == biased, f"{share.__name__} breaks {broken}"
    broken = broken_laws(console, half)
    assert not broken, f"half breaks {broken}"
    compare(console)


if __name__ == "__main__":
    main()
