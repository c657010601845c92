"""Which layers' and horizons' rewards order rollouts as what is wanted of them does."""

from __future__ import annotations

import importlib.util
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import torch
from einops import rearrange
from limits_start import Start, cut, over_anchors
from torch import Tensor

from ebmlm.energies.feature_matching import cosine, feature_matching_terms
from ebmlm.evaluation.rank_correlation import rank_correlation
from ebmlm.evaluation.text_metrics import ChrF
from ebmlm.features import (
    Depths,
    Features,
    FeatureSpaceWhitening,
    HiddenStateFeatures,
    JointLength,
    LastToken,
    MeanToken,
    NoWhitening,
    Pooling,
    Unnormalised,
    Whitening,
)
from ebmlm.rollouts import Rollouts
from ebmlm.samplers import AutoregressiveSampler, BlockParallelSampler, Sampler

SAMPLES = 8
HORIZONS = (4, 8, 16)
_DEPTHS = (0.0, 0.25, 0.5, 0.75, 1.0)


_LAST, _MEAN = LastToken(), MeanToken()


@dataclass(frozen=True)
class Look:
    """Layers looked at together, as places in ``_DEPTHS``: of what token, in what metric."""

    layers: slice
    whitening: Whitening = field(default_factory=NoWhitening)
    pooling: Pooling = _LAST


LOOKS = {
    **{f"depth {_DEPTHS[n]:g}": Look(slice(n, n + 1)) for n in range(5)},
    "joint": Look(slice(1, 4)),
    "joint, whitened": Look(slice(1, 4), FeatureSpaceWhitening()),
    "joint, mean token": Look(slice(1, 4), pooling=_MEAN),
}


def measure_rewards(start: Start) -> dict[str, Any]:
    """Rank correlation, within an anchor, of rewards with scores of the rollouts."""
    sampler, horizons = _sampler(start)
    networks: dict[Pooling, HiddenStateFeatures] = {
        pooling: HiddenStateFeatures(start.network, Depths(_DEPTHS), pooling, Unnormalised(), True)
        for pooling in (_LAST, _MEAN)
    }
    found: dict[tuple[Any, ...], list[tuple[Tensor, Tensor]]] = defaultdict(list)
    scores: dict[tuple[int, str], list[tuple[Tensor, Tensor]]] = defaultdict(list)
    for rollouts in start.draw(sampler, start.held_out_batch()):
        wanted = whole_scores(start, rollouts)
        for horizon in horizons:
            shorter = cut(rollouts, horizon)
            downstream = {**text_scores(start, shorter), **wanted}
            for name, score in downstream.items():
                scores[horizon, name].append((score.mean(-1), rollouts.anchor_mask))
            with torch.no_grad(), start.autocast():
                seen = {pooling: network(shorter) for pooling, network in networks.items()}
            for look, (name, score) in product(LOOKS, downstream.items()):
                features = seen[LOOKS[look].pooling]
                for kind, values in rewards(features, LOOKS[look], rollouts).items():
                    pieces = found[horizon, look, kind, name]
                    pieces.append((rank_correlation(values, score), rollouts.anchor_mask))
    rows = [
        {"horizon": h, "layers": look, "of": kind, "with": name, **over_anchors(pieces)}
        for (h, look, kind, name), pieces in found.items()
    ]
    _tell(start, rows)
    return {
        "samples": SAMPLES,
        "rank_correlations": rows,
        "scores": [
            {"horizon": h, "score": name, **over_anchors(pieces)}
            for (h, name), pieces in scores.items()
        ],
    }


def _sampler(start: Start) -> tuple[Sampler, tuple[int, ...]]:
    """Whole completions where a verifier is to score them, else short rollouts."""
    if start.completions is None:
        return BlockParallelSampler(start.anchors(32, 4), max(HORIZONS), SAMPLES), HORIZONS
    whole = start.completions.horizon
    sampler = AutoregressiveSampler(whole, SAMPLES, start.completions.distribution)
    return sampler, (*(horizon for horizon in HORIZONS if horizon < whole), whole)


def rewards(features: Features, look: Look, rollouts: Rollouts) -> dict[str, Tensor]:
    """The energy's reward (row, anchor, sample), and its alignment alone."""

    def joint(vectors: Tensor) -> Tensor:
        layers = torch.stack(vectors.split(features.blocks, -1)[look.layers], -2)
        return rearrange(JointLength()(layers), "... layer feature -> ... (layer feature)")

    assert features.references is not None
    seen, real = joint(features.rollouts), joint(features.references)
    terms = feature_matching_terms(
        Features(seen, real, (seen.shape[-1],)),
        rollouts.anchor_mask,
        whitening=look.whitening,
        similarity=cosine,
    )
    return {"reward": -terms.per_sample(), "alignment": -terms.unary}


def text_scores(start: Start, rollouts: Rollouts) -> dict[str, Tensor]:
    """Likeness (row, anchor, sample) to the real continuation: of tokens, and of characters."""
    width = min(rollouts.horizon, rollouts.references.shape[-1])
    real = rollouts.reference_mask[:, :, None]
    same = rollouts.completions[..., :width] == rollouts.references[:, :, None, :width]
    counted = same & rollouts.completion_mask[..., :width] & real[..., :width]
    scores = {"exact tokens": counted.sum(-1) / real.sum(-1).clamp(min=1)}
    if importlib.util.find_spec("sacrebleu") is not None:
        scores["chrf"] = _chrf(start, rollouts)
    return scores


def _chrf(start: Start, rollouts: Rollouts) -> Tensor:
    decode = start.text.texts.tokeniser.batch_decode
    on_cpu = rollouts.to("cpu")
    places = on_cpu.anchor_mask.nonzero().tolist()
    real = decode(
        [on_cpu.references[b, k][on_cpu.reference_mask[b, k]].tolist() for b, k in places],
        skip_special_tokens=True,
    )
    masks = on_cpu.completion_mask
    written = decode(
        [
            on_cpu.completions[b, k, n][masks[b, k, n]].tolist()
            for b, k in places
            for n in range(rollouts.samples)
        ],
        skip_special_tokens=True,
    )
    metric, known = ChrF(), dict[tuple[str, str], float]()
    scores = torch.zeros(on_cpu.completions.shape[:3])
    for number, (place, reference) in enumerate(zip(places, real, strict=True)):
        for sample in range(rollouts.samples):
            pair = (written[number * rollouts.samples + sample], reference)
            if pair not in known:
                known[pair] = metric.sentence(*pair)
            scores[place[0], place[1], sample] = known[pair]
    return scores.to(rollouts.completions.device)


def whole_scores(start: Start, rollouts: Rollouts) -> dict[str, Tensor]:
    """Of rollouts as long as they were drawn: likeness of characters, and the verifier's score."""
    likeness = text_scores(start, rollouts)
    scores = {f"{name}, whole": score for name, score in likeness.items()}
    if start.completions is not None:
        written = start.text.texts.attempts(rollouts.to("cpu"))
        values = start.completions.verifier([each.attempt for each in written])
        verified = torch.zeros(rollouts.completions.shape[:3])
        for each, value in zip(written, values, strict=True):
            verified[each.place] = value
        scores["verifier"] = verified.to(rollouts.completions.device)
    return scores


def _tell(start: Start, rows: list[dict[str, Any]]) -> None:
    names = list(dict.fromkeys(row["with"] for row in rows))
    table = {
        (row["horizon"], row["layers"], row["with"]): row for row in rows if row["of"] == "reward"
    }
    start.console.print("rank correlation of the reward with: " + ", ".join(names))
    for horizon, look in dict.fromkeys((h, look) for h, look, _ in table):
        numbers = [table[horizon, look, name] for name in names]
        words = [
            "-" if one["mean"] is None else f"{one['mean']:.3f} ({one['standard_error'] or 0:.3f})"
            for one in numbers
        ]
        start.console.print(
            f"  horizon {horizon:3}  {look:16} " + "  ".join(words), highlight=False
        )
