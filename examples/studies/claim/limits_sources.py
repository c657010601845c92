"""Where the noise of the gradient comes from: the text of a step, or what is drawn for it."""

from __future__ import annotations

import dataclasses
from typing import Any

from limits_start import Start

from ebmlm.evaluation.gradient_noise import CountSketch, gradient_sketches
from ebmlm.evaluation.noise_sources import noise_sources
from ebmlm.features import FeatureSpaceWhitening, NoWhitening
from ebmlm.objectives import CrossEntropy, Objective, recipes

_SAMPLES = (2, 4, 8, 16)


def measure_sources(start: Start) -> dict[str, Any]:
    """Variance over text and over draws, by the number of rollouts of an anchor."""
    parameters = [one for one in start.policy.model.parameters() if one.requires_grad]
    sketch = CountSketch(parameters, seed=start.seed)
    batch = start.training_batch(start.batches * start.rows)
    batches = [batch.rows(at, at + start.rows) for at in range(0, len(batch), start.rows)]
    found = {}
    start.console.print("noise of the gradient: signal, from text, from draws, ratio")
    for name, objective in _objectives(start).items():
        with start.autocast():
            drawn = [
                gradient_sketches(
                    objective, start.policy, parameters, batches, sketch=sketch, draws=draws
                )
                for draws in (start.seed, start.seed + 1)
            ]
        sources = noise_sources(drawn)
        found[name] = dataclasses.asdict(sources)
        start.console.print(
            f"  {name:24} {sources.signal:.4f}  {sources.text:.4f}  {sources.draws:.4f}"
            f"  {sources.ratio:.4f} ({sources.standard_error:.4f})",
            highlight=False,
        )
    return {"settings": found}


def _objectives(start: Start) -> dict[str, Objective]:
    """Cross-entropy, the published method, and matching without whitening by samples."""

    def matching(samples: int, whitened: bool = False) -> Objective:
        return recipes.ebft(
            start.policy,
            network=start.network,
            anchors=start.anchors(8, 4),
            samples=samples,
            whitening=FeatureSpaceWhitening() if whitened else NoWhitening(),
            cross_entropy=0.0,
        )

    plain: dict[str, Objective] = {f"{n} samples": matching(n) for n in _SAMPLES}
    return {"cross-entropy": CrossEntropy(), "published": matching(4, whitened=True), **plain}
