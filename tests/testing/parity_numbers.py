"""Files of the two parity formats from a computation of their own: loops, and no code of ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tests.helpers import packed_batch, raw_model, seeded

__all__ = ["model_tensors", "reward_cases", "reward_group", "save_model"]


def _root(matrix: Tensor) -> Tensor:
    """``M^(-1/2)`` from the singular value decomposition, small values dropped."""
    left, values, _ = torch.linalg.svd(matrix)
    kept = values > 1e-10 * values.max()
    inverse = torch.where(kept, values.clamp(min=1e-300).rsqrt(), 0.0)
    root: Tensor = left @ torch.diag(inverse) @ left.T
    return root


def reward_group(
    features: Tensor, reference: Tensor, coefficient: float, whiten: bool
) -> dict[str, Tensor]:
    """What the format holds for one group of rollouts (sample, feature), one sample at a time."""
    count = len(features)
    operator = _root(features @ features.T) if whiten else torch.eye(count).double()
    white = operator @ features
    copies = operator @ reference.expand(count, -1)
    found: dict[str, list[float]] = {
        name: [] for name in ("alignment", "diversity", "reward", "baseline", "advantage")
    }
    for j in range(count):
        cosine = white[j] @ copies[j] / (white[j].norm() * copies[j].norm())
        found["alignment"].append(2 * float(cosine))
        others = [2 * float(white[j] @ white[k]) for k in range(count) if k != j]
        found["diversity"].append(sum(others) / len(others))
        found["reward"].append(found["alignment"][j] - coefficient * found["diversity"][j])
    for j in range(count):
        baseline = 0.0
        for i in range(count):
            if i != j:
                pairs = [2 * float(white[i] @ white[k]) for k in range(count) if k not in (i, j)]
                pair = sum(pairs) / len(pairs) if pairs else 0.0
                baseline += (found["alignment"][i] - coefficient * pair) / (count - 1)
        found["baseline"].append(baseline)
        found["advantage"].append(found["reward"][j] - baseline)
    return {"whitened": white} | {name: torch.tensor(value) for name, value in found.items()}


def _case(shape: tuple[int, int, int, int], coefficient: float, whiten: bool) -> dict[str, Any]:
    batch, anchor, _, width = shape
    features = torch.randn(shape, generator=seeded(sum(shape)), dtype=torch.float64)
    features = features / features.norm(dim=-1, keepdim=True)
    reference = torch.randn(batch, anchor, width, generator=seeded(1), dtype=torch.float64)
    reference = reference / reference.norm(dim=-1, keepdim=True)
    groups = [
        reward_group(features[row, place], reference[row, place], coefficient, whiten)
        for row in range(batch)
        for place in range(anchor)
    ]
    names = ("batch", "anchor", "sample", "feature")
    return {
        "shape": dict(zip(names, shape, strict=True)),
        "seed": 0,
        "whitening": "sample" if whiten else None,
        "diversity_coefficient": coefficient,
        "features": features.flatten().tolist(),
        "reference": reference.flatten().tolist(),
    } | {name: torch.stack([one[name] for one in groups]).flatten().tolist() for name in groups[0]}


def reward_cases() -> list[dict[str, Any]]:
    return [
        _case((2, 3, 4, 9), 1.0, True),
        _case((1, 2, 2, 5), 0.5, True),
        _case((2, 1, 3, 6), 0.5, False),
    ]


CONTEXT, STRIDE, HORIZON, LAYERS = 3, 5, 4, [1, 2]


@torch.no_grad()
def model_tensors(masking: bool) -> dict[str, Tensor]:
    """Everything by plain passes of one branch at a time in a raw transformers model."""
    raw = raw_model(dtype=torch.float32)
    text = packed_batch()
    sequences, documents = text.sequences[:2], text.documents[:2]
    anchors = list(range(CONTEXT, sequences.shape[1] - HORIZON + 1, STRIDE))
    completions = torch.randint(61, (2, len(anchors), 2, HORIZON), generator=seeded(5))
    shape = completions.shape
    found = {
        "completion_log_probs_t1.0": torch.zeros(shape),
        "completion_log_probs_t0.6": torch.zeros(shape),
        "features": torch.zeros(*shape[:3], 32),
        "reference_features": torch.zeros(*shape[:2], 32),
        "alignment": torch.full(shape[:3], float("nan")),
        "diversity": torch.full(shape[:3], float("nan")),
    }
    for row in range(2):
        for place, anchor in enumerate(anchors):
            same = documents[row] == documents[row, anchor - 1]
            start = int(same.nonzero()[0]) if masking else 0
            prefix = sequences[row, start:anchor].tolist()
            real = sequences[row, anchor : anchor + HORIZON].tolist()
            for number, tokens in enumerate([*completions[row, place].tolist(), real]):
                output = raw(torch.tensor([prefix + tokens]), output_hidden_states=True)
                state = torch.cat([output.hidden_states[layer][0, -1] for layer in LAYERS])
                state = state / state.norm()
                if number == 2:
                    found["reference_features"][row, place] = state
                    continue
                found["features"][row, place, number] = state
                for temperature in (1.0, 0.6):
                    logits = output.logits[0, len(prefix) - 1 : -1] / temperature
                    scores = logits.log_softmax(-1).gather(1, torch.tensor(tokens)[:, None])[:, 0]
                    found[f"completion_log_probs_t{temperature}"][row, place, number] = scores
            group = reward_group(
                found["features"][row, place].double(),
                found["reference_features"][row, place].double(),
                1.0,
                True,
            )
            found["alignment"][row, place] = group["alignment"]
            found["diversity"][row, place] = group["diversity"]
    weights = {f"model.{name}": value for name, value in raw.state_dict().items()}
    text_tensors = {"sequences": sequences, "documents": documents, "completions": completions}
    return {name: value.contiguous() for name, value in (weights | text_tensors | found).items()}


def save_model(path: Path, tensors: dict[str, Tensor], masking: bool) -> None:
    from safetensors.torch import save_file

    meta = {
        "config": raw_model(dtype=torch.float32).config.to_dict(),
        "stride": STRIDE,
        "context": CONTEXT,
        "horizon": HORIZON,
        "samples": 2,
        "document_masking": masking,
        "layers": LAYERS,
        "whitening": "sample",
    }
    save_file(tensors, path, {"meta": json.dumps(meta)})
