"""Are completions better when a learned energy chooses among them? Importance resampling, judged.

    ebmlm train examples/configs/nce.yaml
    python examples/targets/residual_energy.py --energy runs/nce/checkpoint

Writes completions of held-out standard-library text with the language model, and with the language
model times exp(-E) by importance resampling, and asks two others who is nearer to the real text: a
text encoder, and a judge that was trained to tell real text from the model's by that encoder's
vectors, and has seen neither the energy nor its network. Some ten minutes on one core; results in
docs/residual.md.
"""

# %%
from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import ebmlm
from ebmlm.data import StandardLibrary, TextData
from ebmlm.data.collate import collate
from ebmlm.energies import Head, ResidualEnergy
from ebmlm.estimators import BinaryNCE, Contrast
from ebmlm.evaluation import Measurement, calibrate
from ebmlm.features import FeatureMap, Features
from ebmlm.objectives import feature_recipes
from ebmlm.objectives.representation_recipes import fixed
from ebmlm.targets import EnergyModel
from ebmlm.targets.samplers import ImportanceResampling
from ebmlm.texts import Texts

HORIZON, STRIDE, CONTEXT = 16, 32, 32


def sampler(samples: int) -> ebmlm.Sampler:
    """Where and how much is written."""
    return ebmlm.BlockParallelSampler(ebmlm.StridedAnchors(STRIDE, CONTEXT), HORIZON, samples)


def batches(rows: Any, chosen: Sequence[int], size: int = 4) -> list[ebmlm.SequenceBatch]:
    """Some rows, a few at once."""
    return [
        collate([rows[index] for index in chosen[start : start + size]])
        for start in range(0, len(chosen), size)
    ]


# %% The judge: a head on an encoder's vectors, of the model's own completions of training text.
def judge(
    model: ebmlm.LanguageModel, encoder: FeatureMap, text: list[ebmlm.SequenceBatch], seed: int
) -> Head:
    """Trained by noise-contrastive estimation, two completions for each real continuation."""
    vectors: list[Features] = []
    for batch in text:
        generator = torch.Generator().manual_seed(seed)
        rollouts = sampler(2).sample(model, batch, generator=generator)
        found = encoder(rollouts)
        assert found.references is not None
        valid = rollouts.anchor_mask
        vectors.append(Features(found.rollouts[valid], found.references[valid], found.blocks))
    real = torch.cat([one.references for one in vectors if one.references is not None])
    noise = torch.cat([one.rollouts for one in vectors])
    head = Head(real.shape[-1], (64,), seed)
    optimiser = torch.optim.AdamW(head.parameters(), 1e-3, weight_decay=0.1)
    for _ in range(300):
        nothing = torch.zeros(1, len(real))
        contrast = Contrast(
            head(real).unsqueeze(0),
            head(noise).unsqueeze(0),
            nothing,
            nothing.unsqueeze(-1).expand(-1, -1, noise.shape[1]),
        )
        loss = BinaryNCE()(contrast).losses.mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    print(f"judge: {len(real)} real continuations, loss {float(loss.detach()):.3f}")
    return head.eval()


# %% What is measured of a completion, given the real continuation.
@torch.no_grad()
def measured(
    rollouts: ebmlm.Rollouts, encoder: FeatureMap, head: Head, energy: ResidualEnergy
) -> dict[str, Tensor]:
    """(batch, anchor) each: likeness to the real text, and whether judges prefer the real text."""
    features = encoder(rollouts)
    assert features.references is not None
    lengths = features.rollouts.norm(dim=-1) * features.references.norm(dim=-1).unsqueeze(-1)
    products = torch.einsum("b k n f, b k f -> b k n", features.rollouts, features.references)
    judged = head(features.references).unsqueeze(-1) - head(features.rollouts)
    real, drawn = energy.contrast(rollouts)
    return {
        "cosine with the real text": (products / lengths.clamp(min=1e-9)).mean(-1),
        "judge prefers the real text": (judged < 0).double().mean(-1),
        "own energy prefers the real text": (real.unsqueeze(-1) < drawn).double().mean(-1),
    }


def told(name: str, totals: list[Tensor], counts: list[Tensor]) -> dict[str, Any]:
    """Mean over anchors with its 95 % interval over sequences."""
    found = Measurement(torch.cat(totals), torch.cat(counts))
    low, high = found.interval()
    print(f"  {name}: {found.mean:+.4f} [{low:+.4f}, {high:+.4f}]")
    return {"mean": found.mean, "interval": [low, high], "sequences": found.items}


# %%
def main() -> None:
    """Draw, judge, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--energy", default="runs/nce/checkpoint", help="folder of the energy")
    parser.add_argument("--rows", type=int, default=40, help="held-out sequences")
    parser.add_argument(
        "--judge-rows", type=int, default=80, help="training sequences of the judge"
    )
    parser.add_argument("--candidates", type=int, default=16, help="of importance resampling")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", default="runs/residual_energy.json")
    options = parser.parse_args()
    began = time.monotonic()

    model, tokeniser = ebmlm.load()
    data = TextData(StandardLibrary(), length=256, validation_rows=options.rows)
    text = data.prepare(tokeniser)
    texts = Texts(tokeniser, {})
    generator = torch.Generator().manual_seed(options.seed)
    chosen = torch.randperm(len(text.train), generator=generator)[: options.judge_rows].tolist()
    results: dict[str, Any] = {"options": vars(options)}
    with torch.autocast("cpu", torch.bfloat16):
        encoder = feature_recipes.encoder(model, texts)
        energy = ResidualEnergy.load(options.energy, fixed(model))
        head = judge(model, encoder, batches(text.train, chosen), options.seed)
        held_out = batches(text.validation, range(len(text.validation)))
        target = EnergyModel(model, energy)
        resampling = ImportanceResampling(sampler(options.candidates), samples=1)
        sums: dict[str, dict[str, list[Tensor]]] = {"plain": {}, "resampled": {}}
        counts, effective = [], []
        for number, batch in enumerate(held_out):
            valid = None
            for name in sums:
                own = torch.Generator().manual_seed(options.seed + 1)
                if name == "plain":
                    rollouts = sampler(1).sample(model, batch, generator=own)
                else:
                    draws = resampling.draw(target, batch, generator=own)
                    rollouts = draws.rollouts
                    effective.append(draws.diagnostics["effective_samples"][rollouts.anchor_mask])
                valid = rollouts.anchor_mask
                for what, value in measured(rollouts, encoder, head, energy).items():
                    total = torch.where(valid, value, 0).double().sum(1)
                    sums[name].setdefault(what, []).append(total)
            assert valid is not None
            counts.append(valid.sum(1))
            print(f"{number + 1}/{len(held_out)} batches, {time.monotonic() - began:.0f} s")
        own = torch.Generator().manual_seed(options.seed + 2)
        found = calibrate(target, sampler(8), held_out[: len(held_out) // 2], own)
    low, high = found.interval()
    print(f"log Z {found.log_partition:+.3f} [{low:+.3f}, {high:+.3f}] nats")
    print(f"of a context, standard deviation {found.spread:.3f}")
    results["log_partition"] = {
        "mean": found.log_partition,
        "interval": [low, high],
        "spread": found.spread,
    }
    results["effective_samples"] = float(torch.cat(effective).mean())
    print(f"effective samples of {options.candidates}: {results['effective_samples']:.2f}")
    for name, values in sums.items():
        print(name)
        results[name] = {what: told(what, totals, counts) for what, totals in values.items()}
    print("resampled less plain, in pairs of sequences")
    results["difference"] = {
        what: told(
            what,
            [a - b for a, b in zip(totals, sums["plain"][what], strict=True)],
            counts,
        )
        for what, totals in sums["resampled"].items()
    }
    results["seconds"] = round(time.monotonic() - began, 1)
    path = Path(options.output)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    print(f"{results['seconds']:.0f} s; written to {path}")


if __name__ == "__main__":
    main()
