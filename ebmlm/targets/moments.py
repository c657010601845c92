"""The energy of minimal change that meets given moments: maximum entropy over a language model.

Of all conditional distributions whose mean features over contexts are the wanted ones, the one
nearest to the language model is its exponential tilt by those features (Csiszar 1975; Khalifa et
al. 2021; docs/mathematics.md, "Moments that are met").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ebmlm.errors import UserError
from ebmlm.features.base import FeatureMap
from ebmlm.language_model import LanguageModel
from ebmlm.rollouts import SequenceBatch
from ebmlm.samplers.base import Sampler
from ebmlm.targets.moment_dual import MomentDual
from ebmlm.targets.partition import PartitionEstimate, estimate_partition
from ebmlm.typing import ContextSample, ContextSampleFeature, Row

__all__ = ["MomentFit", "fit_moments", "solve_moments"]


@dataclass(frozen=True, eq=False)
class MomentFit:
    """Coefficients of a linear energy, and how far to trust them.

    Attributes:
        names: of the moments.
        coefficients: (feature,) of :class:`~ebmlm.energies.linear.LinearEnergy`, in nats a unit.
        wanted: (feature,) the moments asked for.
        before: (feature,) those of the draws as they are.
        achieved: (feature,) those of the draws with their weights.
        standard_errors: (feature,) of ``achieved``: how far the tilt's own moments, over the same
            contexts, may be from it.
        partition: of each context, as (context, 1): log Z in nats with its error, and the effective
            sample size.
        divergence: KL of the tilt from the language model, nats a completion, mean over contexts.
        steps: evaluations of the dual.
    """

    names: tuple[str, ...]
    coefficients: Row
    wanted: Row
    before: Row
    achieved: Row
    standard_errors: Row
    partition: PartitionEstimate
    divergence: float
    steps: int

    def __str__(self) -> str:
        lines = [
            f"{name}: {before:.4g} -> {achieved:.4g} ({error:.2g}), wanted {wanted:.4g},"
            f" coefficient {coefficient:.4g}"
            for name, before, achieved, error, wanted, coefficient in zip(
                self.names,
                *(
                    values.tolist()
                    for values in (
                        self.before,
                        self.achieved,
                        self.standard_errors,
                        self.wanted,
                        self.coefficients,
                    )
                ),
                strict=True,
            )
        ]
        effective = self.partition.effective_samples
        lines.append(
            f"KL from the language model {self.divergence:.3g} nats; effective samples"
            f" {float(effective.mean()):.1f} a context, at least {float(effective.min()):.1f};"
            f" {self.steps} evaluations"
        )
        return "\n".join(lines)


def fit_moments(
    model: LanguageModel,
    batch: SequenceBatch,
    sampler: Sampler,
    features: FeatureMap,
    moments: Mapping[str, float],
    *,
    rows: int = 16,
    generator: torch.Generator | None = None,
    **options: Any,
) -> MomentFit:
    """Draw from a language model and find the linear energy that meets moments.

    ``EnergyModel(model, LinearEnergy(features, fit.coefficients))`` then has them, on average over
    the contexts of ``batch``.

    Args:
        model: draws; the distribution that is changed as little as possible is the sampler's.
        batch: whose anchors are the contexts.
        sampler: as many samples an anchor as are affordable: a context in which no draw has a
            feature cannot be tilted towards it.
        features: one for each moment, in their order.
        moments: the mean that is wanted of each feature, by name.
        rows: sequences drawn from at once.
        generator: a CPU generator.
        options: of :func:`solve_moments`.

    Raises:
        UserError: for features and moments that are not equally many, a batch without an anchor, or
            moments that cannot be met.
    """
    if features.width is not None and features.width != len(moments):
        raise UserError(
            f"{len(moments)} moments for {features.width} features: name one for each, in order"
        )
    seen = []
    seed = int(torch.randint(1 << 62, (), generator=generator))
    for start in range(0, len(batch), rows):
        # The same seed: what a sequence gives must not depend on how many are drawn at once.
        own = torch.Generator().manual_seed(seed)
        rollouts = sampler.sample(model, batch.rows(start, start + rows), generator=own)
        seen.append(features(rollouts).rollouts[rollouts.anchor_mask].cpu())
    wanted = torch.tensor(list(moments.values()), dtype=torch.float64)
    return solve_moments(torch.cat(seen), wanted, names=list(moments), **options)


def solve_moments(
    features: ContextSampleFeature,
    wanted: Row,
    *,
    log_weights: ContextSample | None = None,
    names: Sequence[str] | None = None,
    tolerance: float = 1e-6,
    steps: int = 500,
) -> MomentFit:
    """Minimise the convex dual ``mean_c log Z_c(coefficients) - coefficients . wanted``.

    Log Z of each context is that of its own draws (self-normalised importance sampling). By L-BFGS
    with a line search (Nocedal 1980), in units of each feature's spread.

    Args:
        features: (context, sample, feature) of draws.
        wanted: (feature,) their means under the tilt.
        log_weights: (context, sample) in nats, where draws are not from what is to be tilted: its
            log-density less that of what was drawn from.
        names: of the moments, for messages.
        tolerance: how far an achieved moment may be from the wanted one, in units of its spread.
        steps: evaluations of the dual at most.

    Raises:
        UserError: for shapes that do not fit, no context, a value that is not finite, moments that
            no weighting of the draws has, which are named, or a dual that does not converge.
    """
    names = [f"moment {i}" for i in range(len(wanted))] if names is None else list(names)
    values = features.detach().double()
    wanted = wanted.detach().double().cpu()
    _check(values, wanted, names)
    weights = torch.zeros(values.shape[:2], dtype=torch.float64)
    if log_weights is not None:
        weights = log_weights.detach().double()
    alive = weights > -torch.inf
    if not alive.any(-1).all():
        raise UserError("a context has no draw of any weight: draw more, or leave it out")
    _check_range(values, alive, wanted, names)

    spread = values[alive].std(0, correction=0)
    unit = torch.where(spread > 0, spread, 1)
    dual = MomentDual(values / unit, wanted / unit, weights)
    found = dual.minimise(steps, tolerance)
    if not float(dual.gap(found).abs().max()) <= tolerance:
        raise UserError(_why_not(dual, found, alive, names, unit))

    coefficients = found / unit
    tilted = dual.tilted(found)
    shares = tilted.softmax(-1).unsqueeze(-1)
    means = (shares * values).sum(1, keepdim=True)
    errors = (shares.square() * (values - means).square()).sum(1).sum(0).sqrt() / len(values)
    partition = estimate_partition(tilted.unsqueeze(1))
    plain = (weights.softmax(-1).unsqueeze(-1) * values).sum(1).mean(0)
    base = weights.logsumexp(-1).mean()
    return MomentFit(
        names=tuple(names),
        coefficients=coefficients,
        wanted=wanted,
        before=plain,
        achieved=means.squeeze(1).mean(0),
        standard_errors=errors,
        partition=partition,
        divergence=float(coefficients @ means.mean((0, 1)) - tilted.logsumexp(-1).mean() + base),
        steps=dual.evaluations,
    )


def _check(values: Tensor, wanted: Tensor, names: Sequence[str]) -> None:
    if values.shape[-1] != len(wanted) or len(names) != len(wanted):
        raise UserError(
            f"{len(wanted)} moments and {len(names)} names for {values.shape[-1]} features:"
            " give one of each"
        )
    if 0 in values.shape[:2]:
        raise UserError("no draws: a batch with at least one valid anchor is needed")
    for name, value in zip(names, wanted.tolist(), strict=True):
        if not -float("inf") < value < float("inf"):
            raise UserError(f"the moment '{name}' is {value}: it must be a finite number")
    if not values.isfinite().all():
        raise UserError("a feature is not finite")


def _check_range(values: Tensor, alive: Tensor, wanted: Tensor, names: Sequence[str]) -> None:
    """Name the first moment that is out of reach by itself."""
    there = alive.unsqueeze(-1)
    least = torch.where(there, values, torch.inf).amin(1).mean(0)
    most = torch.where(there, values, -torch.inf).amax(1).mean(0)
    for i, name in enumerate(names):
        low, high, value = float(least[i]), float(most[i]), float(wanted[i])
        if low == high == value or low < value < high:
            continue
        edge = (
            "; at the edge itself it is a hard constraint (ConstraintEnergy)"
            if value in (low, high)
            else ""
        )
        raise UserError(
            f"the moment '{name}' is to be {value:g} and is out of reach: over the"
            f" {len(values)} contexts, weights on the {values.shape[1]} draws of each can bring it"
            f" from {low:g} to {high:g}, both excluded; draw more, or ask for less{edge}"
        )


def _why_not(
    dual: MomentDual, found: Tensor, alive: Tensor, names: Sequence[str], unit: Tensor
) -> str:
    """Say whether the moments contradict each other, by a direction that proves it."""
    direction = found / found.norm().clamp(min=1e-30)
    along = torch.where(alive, dual.features @ direction, -torch.inf).amax(-1).mean()
    gap = dual.gap(found) * unit
    worst = int(dual.gap(found).abs().argmax())
    left = (
        f"'{names[worst]}' is still {float(gap[worst]):+.3g} from what is wanted"
        f" after {dual.evaluations} evaluations"
    )
    if float(direction @ dual.wanted) >= float(along) - 1e-9:
        shares = ", ".join(
            f"{float(weight):+.3g} {name}"
            for weight, name in zip(direction / unit, names, strict=True)
            if abs(float(weight)) > 1e-3 * float((direction / unit).abs().max())
        )
        return (
            f"the moments {', '.join(repr(name) for name in names)} cannot be met together: of"
            f" {shares} the draws reach at most {float(along):.4g} and"
            f" {float(direction @ dual.wanted):.4g} is wanted; {left}"
        )
    return f"the moments were not met: {left}; allow more steps, or ask for less"
