"""How many rollouts of an anchor are the same, and how far their rewards are apart."""

from __future__ import annotations

from collections import defaultdict
from itertools import product
from typing import Any

import torch
from limits_start import Start, cut, over_anchors
from torch import Tensor

from ebmlm.distribution import Categorical
from ebmlm.energies.feature_matching import cosine, feature_matching_terms
from ebmlm.features import (
    Features,
    FeatureSpaceWhitening,
    HiddenStateFeatures,
    NoWhitening,
)
from ebmlm.rollouts import Rollouts
from ebmlm.samplers import BlockParallelSampler

_TEMPERATURES = (0.5, 0.7, 1.0)
_SAMPLES = (4, 8)
_HORIZONS = (4, 8, 16)
_METRICS = {"reward": NoWhitening(), "whitened reward": FeatureSpaceWhitening()}


def measure_duplicates(start: Start) -> dict[str, Any]:
    """Duplicates and spread of rewards by temperature, samples and horizon."""
    network = HiddenStateFeatures(start.network)
    found: dict[tuple[Any, ...], list[tuple[Tensor, Tensor]]] = defaultdict(list)
    batch = start.held_out_batch()
    for temperature in _TEMPERATURES:
        sampler = BlockParallelSampler(
            start.anchors(32, 4), max(_HORIZONS), max(_SAMPLES), Categorical(temperature)
        )
        for rollouts in start.draw(sampler, batch):
            for horizon in _HORIZONS:
                with torch.no_grad(), start.autocast():
                    features = network(cut(rollouts, horizon))
                for samples in _SAMPLES:
                    few = cut(rollouts, horizon, samples)
                    for name, values in _figures(few, features, samples).items():
                        pieces = found[temperature, samples, horizon, name]
                        pieces.append((values, rollouts.anchor_mask))
    rows = []
    for setting in product(_TEMPERATURES, _SAMPLES, _HORIZONS):
        names = [name for *key, name in found if tuple(key) == setting]
        figures = {name: over_anchors(found[*setting, name]) for name in names}
        rows.append(
            dict(zip(("temperature", "samples", "horizon"), setting, strict=True)) | figures
        )
    _tell(start, rows)
    return {"rows": rows}


def _figures(rollouts: Rollouts, features: Features, samples: int) -> dict[str, Tensor]:
    """Numbers (row, anchor) of so many of the samples."""
    repeated = duplicates(rollouts)
    figures = {
        "anchors_with_duplicates": repeated.any(-1).double(),
        "duplicate_rollouts": repeated.double().mean(-1),
    }
    few = Features(features.rollouts[:, :, :samples], features.references, features.blocks)
    for name, whitening in _METRICS.items():
        terms = feature_matching_terms(
            few, rollouts.anchor_mask, whitening=whitening, similarity=cosine
        )
        figures[f"{name} standard deviation"] = terms.per_sample().double().std(-1)
    return figures


def duplicates(rollouts: Rollouts) -> Tensor:
    """Which rollouts (row, anchor, sample) are the same as an earlier one of their anchor."""
    tokens = torch.where(rollouts.completion_mask, rollouts.completions, -1)
    same = (tokens.unsqueeze(3) == tokens.unsqueeze(2)).all(-1)
    return same.tril(-1).any(-1)


def _tell(start: Start, rows: list[dict[str, Any]]) -> None:
    start.console.print(
        "duplicates: temperature, samples, horizon: anchors with any, rollouts, deviation of reward"
    )
    for row in rows:
        means = [value["mean"] for value in row.values() if isinstance(value, dict)]
        words = ["-" if mean is None else f"{mean:.3f}" for mean in means]
        start.console.print(
            f"  {row['temperature']:.1f}  {row['samples']}  {row['horizon']:2}   "
            + "  ".join(words),
            highlight=False,
        )
