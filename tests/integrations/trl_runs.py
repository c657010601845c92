"""Tiny real runs of TRL's trainers, with what they computed on the way."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from ebmlm.energies import EnergyTerms, FeatureMatchingEnergy
from ebmlm.features import HiddenStateFeatures
from ebmlm.transformers_model import TransformersLanguageModel
from tests.data.tokenisers import words

SAMPLES = 4
HORIZON = 5
TEMPERATURE = 0.7
KNOWN = tuple("abcdefgh")
TOKENISER = words(known=KNOWN, eos_token="</s>", pad_token="<unk>")
END = TOKENISER.eos_token_id
ROWS = {
    "prompt": ["a b c", "d", "e f", "g g a h", "b c", "h a b"],
    "reference": [" d e", " e f g h a b c d", " g", " b", " d e f g", " c d e"],
}


def tiny_llama(seed: int = 0) -> LlamaForCausalLM:
    """A random Llama that ends about every tenth token."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = LlamaConfig(
            vocab_size=len(TOKENISER),
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=64,
            initializer_range=0.3,
            bos_token_id=None,
            eos_token_id=END,
            pad_token_id=0,
        )
        return LlamaForCausalLM(config).eval()


def energy_of(model: LlamaForCausalLM, **options: Any) -> FeatureMatchingEnergy:
    network = TransformersLanguageModel(copy.deepcopy(model)).frozen()
    return FeatureMatchingEnergy(HiddenStateFeatures(network), **options)


@torch.no_grad()
def feature(model: LlamaForCausalLM, prompt: list[int], continuation: list[int]) -> Tensor:
    """The last token's states at depths 1/4, 1/2 and 3/4, by a plain forward pass."""
    states = model(torch.tensor([prompt + continuation]), output_hidden_states=True).hidden_states
    vector = torch.cat([states[layer][0, -1] for layer in (0, 1, 1)])
    return vector / vector.norm()


def naive_terms(
    model: LlamaForCausalLM,
    prompt: list[int],
    reference: list[int],
    completions: list[list[int]],
    diversity: float = 1.0,
) -> EnergyTerms:
    """Feature-matching terms of one group, one sequence and one pair at a time."""
    real = feature(model, prompt, reference[:HORIZON])
    seen = [feature(model, prompt, each) for each in completions]
    unary = torch.tensor([-2 * float(each @ real) for each in seen])
    pairwise = torch.tensor(
        [
            [0.0 if j == k else 2 * diversity * float(seen[j] @ seen[k]) for k in range(len(seen))]
            for j in range(len(seen))
        ]
    )
    return EnergyTerms(unary.view(1, 1, -1), pairwise.view(1, 1, len(seen), len(seen)))


def ids(text: str) -> list[int]:
    return list(TOKENISER(text)["input_ids"])


@dataclass
class Record:
    """What a trainer computed in each step, in the order of the completions."""

    inputs: list[list[dict[str, Any]]] = field(default_factory=list)
    outputs: list[dict[str, Tensor]] = field(default_factory=list)
    rewards: list[Tensor] = field(default_factory=list)
    gradients: list[dict[str, Tensor]] = field(default_factory=list)
    logged: list[dict[str, Any]] = field(default_factory=list)

    def completions(self, step: int) -> list[list[list[int]]]:
        """Token ids by group."""
        output = self.outputs[step]
        pairs = zip(output["completion_ids"], output["completion_mask"].bool(), strict=True)
        flat = [tokens[mask].tolist() for tokens, mask in pairs]
        return [flat[start : start + SAMPLES] for start in range(0, len(flat), SAMPLES)]

    def terms(self, step: int, model: LlamaForCausalLM, diversity: float = 1.0) -> EnergyTerms:
        """Terms (group, 1, sample) of what was written, by the naive twin."""
        rows = self.inputs[step][::SAMPLES]
        parts = [
            naive_terms(model, ids(row["prompt"]), [*ids(row["reference"]), END], group, diversity)
            for row, group in zip(rows, self.completions(step), strict=True)
        ]
        pairs = [part.pairwise for part in parts if part.pairwise is not None]
        return EnergyTerms(torch.cat([part.unary for part in parts]), torch.cat(pairs))


def run(trainer: Any, config: Any, reward: Any, output: Path, **options: Any) -> Record:
    """Train the tiny model for two steps."""
    record = Record()

    class Recorded(trainer):  # type: ignore[misc]
        def _calculate_rewards(self, *args: Any) -> Tensor:
            rewards: Tensor = super()._calculate_rewards(*args)
            record.rewards.append(rewards)
            return rewards

        def _generate_and_score_completions(self, inputs: Any) -> Any:
            scored = super()._generate_and_score_completions(inputs)
            record.inputs.append(inputs)
            record.outputs.append(dict(scored))
            return scored

        def training_step(self, *args: Any, **named: Any) -> Tensor:
            loss: Tensor = super().training_step(*args, **named)
            record.gradients.append(
                {
                    name: parameter.grad.clone()
                    for name, parameter in self.model.named_parameters()
                    if parameter.grad is not None
                }
            )
            return loss

    settings = {
        "output_dir": str(output),
        "use_cpu": True,
        "bf16": False,
        "report_to": "none",
        "save_strategy": "no",
        "disable_tqdm": True,
        "logging_steps": 1,
        "max_steps": 2,
        "per_device_train_batch_size": 2 * SAMPLES,
        "num_generations": SAMPLES,
        "max_completion_length": HORIZON,
        "temperature": TEMPERATURE,
        "beta": 0.0,
        "learning_rate": 1e-2,
        "gradient_checkpointing": False,
        "seed": 1,
    }
    made = Recorded(
        model=tiny_llama(),
        reward_funcs=reward,
        args=config(**(settings | options)),
        train_dataset=Dataset.from_dict(ROWS),
        processing_class=TOKENISER,
    )
    made.train()
    record.logged = [line for line in made.state.log_history if "reward" in line]
    return record
