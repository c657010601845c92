"""Half of the completions about nature, half with somebody speaking: moments, met by tuning.

    python examples/targets/moments.py --arms dpg reverse_kl log_variance

The linear energy of least change is fitted on the language model's own draws, then the model is
tuned towards the target that it defines, and measured on openings it has not seen. A few minutes an
arm and ten steps on two cores; results in docs/control.md.
"""

# %%
from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

import ebmlm
from ebmlm.data.prompts import Prompts
from ebmlm.divergences import ForwardKL, ReverseKL
from ebmlm.energies import LinearEnergy
from ebmlm.estimators import LogVariance
from ebmlm.features import VerifierFeatures
from ebmlm.targets import DivergenceEnergy, EnergyModel, TargetEnergy, fit_moments
from ebmlm.texts import Texts
from ebmlm.verifiers import RegularExpression

NATURE = (
    r"(?i)\b(nature|natural|animals?|birds?|plants?|trees?|forests?|woods?|rivers?|lakes?|seas?|"
    r"oceans?|mountains?|hills?|gardens?|flowers?|grass|fish|dogs?|cats?|horses?|wolf|wolves|bears?|"
    r"insects?|bees?|rain|snow|winds?|storms?|sun|moon|stars?|sky|weather|earth|soil|wild)\b"
)
SPEECH = r"[\"“”]"
MOMENTS = {"nature": 0.5, "speech": 0.5}
WHO = (
    *("My sister", "The old man", "A young doctor", "Our neighbour", "The farmer"),
    *("A friend of mine", "The captain", "Her uncle"),
)
DID = (
    *("wrote a letter about", "spent the whole summer with", "gave a short talk on"),
    *("told the children about", "opened the door and saw", "could not stop thinking of"),
    *("decided to spend the money on", "has always been interested in"),
)
UNSEEN_WHO = ("The teacher", "A stranger", "His grandmother", "The young king")
UNSEEN_DID = (
    "dreamt of",
    "read a long book about",
    "walked home and found",
    "argued with me about",
)


# %% Contexts: openings, in one batch.
def openings(who: tuple[str, ...], did: tuple[str, ...], tokeniser: Any) -> ebmlm.SequenceBatch:
    """Every person with every deed."""
    items = [{"prompt": f"{one} {other}"} for one in who for other in did]
    (batch,) = Prompts.of(items, tokeniser).batches(len(items))
    return batch


def sampler(samples: int) -> ebmlm.AutoregressiveSampler:
    """Completions of 24 tokens."""
    return ebmlm.AutoregressiveSampler(24, samples)


# %% Three ways towards one target.
def dpg(target: EnergyModel) -> ebmlm.PolicyObjective:
    """KL(target | policy), by importance weights."""
    energy = DivergenceEnergy(target, ForwardKL())
    return ebmlm.PolicyObjective(sampler(16), energy, ebmlm.RLOO())


def reverse_kl(target: EnergyModel) -> ebmlm.PolicyObjective:
    """KL(policy | target): KL-regularised reward maximisation."""
    energy = DivergenceEnergy(target, ReverseKL())
    return ebmlm.PolicyObjective(sampler(16), energy, ebmlm.RLOO())


def log_variance(target: EnergyModel) -> ebmlm.PolicyObjective:
    """The variance of log policy - log target."""
    return ebmlm.PolicyObjective(sampler(16), TargetEnergy(target), LogVariance())


ARMS: Mapping[str, Callable[[EnergyModel], ebmlm.PolicyObjective]] = {
    "dpg": dpg,
    "reverse_kl": reverse_kl,
    "log_variance": log_variance,
}


# %% What came of it, on openings that were not trained on.
@torch.no_grad()
def measured(
    policy: ebmlm.LanguageModel, target: EnergyModel, features: Any, batch: ebmlm.SequenceBatch
) -> dict[str, list[float]]:
    """Means over openings and their standard errors, by name; KL divergences in nats."""
    rows: dict[str, list[float]] = {name: [] for name in MOMENTS}
    rows |= {"KL(policy | base)": [], "KL(target | policy)": [], "distinct": []}
    for start in range(len(batch)):
        generator = torch.Generator().manual_seed(99)
        drawn = sampler(64).sample(policy, batch.rows(start, start + 1), generator=generator)
        own = policy.score(drawn).completions.sum(-1)[0, 0].double()
        base = target.language_model.score(drawn).completions.sum(-1)[0, 0].double()
        log_weights = target.log_density(drawn)[0, 0].double() - own
        log_partition = log_weights.logsumexp(-1) - math.log(64)
        shares = log_weights.softmax(-1)
        for name, value in zip(MOMENTS, features(drawn).rollouts[0, 0].T, strict=True):
            rows[name].append(float(value.mean()))
        rows["KL(policy | base)"].append(float((own - base).mean()))
        rows["KL(target | policy)"].append(float(shares @ log_weights - log_partition))
        rows["distinct"].append(len({tuple(one) for one in drawn.completions[0, 0].tolist()}) / 64)
    return {
        name: [
            float(torch.tensor(values).mean()),
            float(torch.tensor(values).std()) / len(batch) ** 0.5,
        ]
        for name, values in rows.items()
    }


# %% The run.
def main() -> None:
    """Fit, tune, measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=["dpg"])
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--draws", type=int, default=128, help="of each opening, for the fit")
    parser.add_argument("--learning-rate", type=float, default=3e-5)
    parser.add_argument("--output", type=Path, default=Path("runs/moments.json"))
    options = parser.parse_args()
    options.output.parent.mkdir(parents=True, exist_ok=True)

    with torch.autocast("cpu", torch.bfloat16):
        found: dict[str, Any] = {}
        for arm in options.arms:
            policy, tokeniser = ebmlm.load(options.model)
            base = policy.frozen()
            verifiers = [RegularExpression(NATURE), RegularExpression(SPEECH)]
            features = VerifierFeatures(verifiers, Texts(tokeniser, {}))
            seen = openings(WHO, DID, tokeniser)
            unseen = openings(UNSEEN_WHO, UNSEEN_DID, tokeniser)

            generator = torch.Generator().manual_seed(0)
            fit = fit_moments(
                base, seen, sampler(options.draws), features, MOMENTS, generator=generator
            )
            print(fit, flush=True)
            target = EnergyModel(base, LinearEnergy(features, fit.coefficients))
            if "base" not in found:
                found["base"] = measured(policy, target, features, unseen)
                print("base", found["base"], flush=True)

            objective = ARMS[arm](target)
            optimiser = torch.optim.AdamW(policy.model.parameters(), lr=options.learning_rate)
            started = time.monotonic()
            for step in range(options.steps):
                rows = torch.randperm(len(seen), generator=generator)[:8]
                loss = objective.loss(policy, seen.map(lambda t: t[rows]), generator=generator)  # noqa: B023
                optimiser.zero_grad()
                loss.loss.backward()
                torch.nn.utils.clip_grad_norm_(policy.model.parameters(), 1.0)
                optimiser.step()
                if step % 5 == 0:
                    shown = {name: round(float(value), 3) for name, value in loss.metrics.items()}
                    print(arm, step, round(time.monotonic() - started), shown, flush=True)
            seconds = time.monotonic() - started
            found[arm] = measured(policy, target, features, unseen) | {"seconds": [seconds, 0.0]}
            print(arm, found[arm], flush=True)
            options.output.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
