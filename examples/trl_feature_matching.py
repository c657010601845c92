"""EBFT by TRL's RLOOTrainer: SmolLM2-135M continues Python's own sources; see docs/trl.md."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from tempfile import TemporaryDirectory
from typing import Any

from datasets import Dataset
from trl import RLOOConfig, RLOOTrainer

import ebmlm
from ebmlm.data import StandardLibrary
from ebmlm.integrations import FeatureMatchingReward, ForRLOO

PROMPT, HORIZON, SAMPLES, PROMPTS = 48, 16, 4, 2
MEASURED = ("energy/alignment", "energy/diversity", "energy/mean", "step_time")


def continuations(tokeniser: Any, rows: int) -> Dataset:
    """The first tokens of some files, and the text that really follows."""
    found: dict[str, list[str]] = {"prompt": [], "reference": []}
    for document in StandardLibrary().read().documents:
        ids = tokeniser(document.text[:2000])["input_ids"][: PROMPT + HORIZON]
        if len(ids) == PROMPT + HORIZON and len(found["prompt"]) < rows:
            prompt = tokeniser.decode(ids[:PROMPT])
            found["prompt"].append(prompt)
            found["reference"].append(tokeniser.decode(ids)[len(prompt) :])
    return Dataset.from_dict(found)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train for a few steps."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=4)
    steps = parser.parse_args(arguments).steps
    policy, tokeniser = ebmlm.load("smollm2-135m")
    features = ebmlm.HiddenStateFeatures(policy.frozen())
    reward = FeatureMatchingReward(
        ebmlm.FeatureMatchingEnergy(features),
        tokeniser,
        num_generations=SAMPLES,
        max_completion_length=HORIZON,
        references_end=False,
        correction=ForRLOO(),
    )
    with TemporaryDirectory() as output:
        config = RLOOConfig(
            output_dir=output,
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            report_to="none",
            save_strategy="no",
            disable_tqdm=True,
            logging_steps=1,
            max_steps=steps,
            learning_rate=2e-5,
            per_device_train_batch_size=PROMPTS * SAMPLES,
            num_generations=SAMPLES,
            max_completion_length=HORIZON,
            beta=0.0,  # the energy may be joined by TRL's own KL term
        )
        data = continuations(tokeniser, steps * PROMPTS)
        trainer = RLOOTrainer(policy.model, reward, config, data, processing_class=tokeniser)
        trainer.train()
    print("step", *(f"{name.removeprefix('energy/'):>10}" for name in MEASURED))
    for line in trainer.state.log_history:
        if MEASURED[0] in line:
            print(f"{line['step']:4d}", *(f"{line[name]:10.4f}" for name in MEASURED))


if __name__ == "__main__":
    main()
