"""Code that parses, as a hard constraint: five ways to draw from it, and one to train for it.

The target is SmolLM2's own distribution over completions of functions that have been begun, given
that prompt and completion parse and at least three statements are added to the function
(:class:`~ebmlm.verifiers.ParsesAsPython` says what becomes of one that the horizon cuts off).
Prompts are module-level functions of the standard library up to their second statement; those that
are drawn for come from files held out from the training of the tuned model.

    python examples/targets/parsing.py --output runs/parsing

Every arm's draws are written to the output folder as they come; started again, the script goes on
after the last finished arm. The table is printed at the end, and alone with ``--table``.
"""

from __future__ import annotations

import argparse
import ast
import itertools
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

import ebmlm
from ebmlm.data import HashSplit, PairData, StandardLibrary
from ebmlm.data.collate import collate
from ebmlm.data.pair import Pair, PairSource
from ebmlm.data.source import Corpus
from ebmlm.divergences import ForwardKL
from ebmlm.energies import ConstraintEnergy
from ebmlm.estimators import RLOO
from ebmlm.evaluation.intervals import t_interval, wilson_interval
from ebmlm.language_model import LanguageModel
from ebmlm.objectives import PolicyObjective
from ebmlm.rollouts import Rollouts, SequenceBatch
from ebmlm.samplers import AutoregressiveSampler
from ebmlm.targets import DivergenceEnergy, EnergyModel
from ebmlm.targets.cost import CountedLanguageModel
from ebmlm.targets.samplers import (
    BestOfN,
    QuasiRejection,
    SequentialMonteCarlo,
    TargetSampler,
)
from ebmlm.targets.samplers.twists import StillPossible
from ebmlm.texts import Texts
from ebmlm.training import EvaluationOptions, Pipeline, TrainingOptions
from ebmlm.verifiers.parses import ParsesAsPython

SAMPLES = 4
PARSES = ParsesAsPython(statements=3)
TUNED = "tuned, then the model alone"


@dataclass(frozen=True)
class FunctionHeads(PairSource):
    """Module-level functions of the standard library, cut before their second statement.

    A prompt is ``def``, docstring, first statement, and the next line's indentation but for its
    last space, which the completion begins with, as the model's tokens do. Without indentation an
    instruction-tuned model goes on about the function, not in it.

    Attributes:
        longest: characters of a prompt at most.
        kept: characters of a completion at most.
    """

    longest: int = 360
    kept: int = 200

    def read(self) -> Corpus[Pair]:
        """Read every such function whose prompt is not too long."""
        pairs = []
        for document in StandardLibrary().read().documents:
            lines = document.text.splitlines(keepends=True)
            for node in _functions(document.text):
                second = node.body[2]
                cut, spaces = second.lineno - 1, second.col_offset - 1
                prompt = "".join(lines[node.lineno - 1 : cut]) + " " * spaces
                completion = "".join(lines[cut : node.end_lineno])[spaces:][: self.kept]
                if len(prompt) <= self.longest and completion.startswith(" "):
                    pairs.append(Pair(document.key, prompt, completion))
        return Corpus(tuple(pairs), {})


def _functions(text: str) -> list[ast.FunctionDef]:
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return []
    return [
        node
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and ast.get_docstring(node) and len(node.body) >= 4
    ]


def data(prompts: int) -> PairData:
    """Heads and bodies; every file is on one side only."""
    return PairData(FunctionHeads(), 192, HashSplit(0.2), train_rows=1024, validation_rows=prompts)


def constrained(model: LanguageModel, texts: Texts) -> EnergyModel:
    """The language model, given that what is written parses."""
    energy = ConstraintEnergy(PARSES.holds, texts, "parses")
    return EnergyModel(model, energy)


@dataclass(frozen=True)
class Tuning:
    """The recipe of the tuned arm: DPG, the forward KL divergence from the constrained model."""

    horizon: int
    samples: int = 8

    def __call__(self, model: LanguageModel, texts: Texts) -> PolicyObjective:
        """Return the objective."""
        target = constrained(model.frozen(), texts)
        sampler = AutoregressiveSampler(self.horizon, self.samples)
        return PolicyObjective(sampler, DivergenceEnergy(target, ForwardKL()), RLOO())


def tune(given: argparse.Namespace) -> float:
    """Train a LoRA adapter; returns the seconds of training."""
    from rich.console import Console

    pipeline = Pipeline(
        data=data(given.prompts),
        objective=Tuning(given.horizon),
        model=given.model,
        training=TrainingOptions(
            steps=given.steps,
            batch_size=8,
            micro_batch_size=4,
            learning_rate=given.learning_rate,
            seed=given.seed,
            save_every=10,
        ),
        evaluation=EvaluationOptions(stride=16, context=0, samples=2),
        peft_config={
            "peft_type": "LORA",
            "r": 16,
            "lora_alpha": 32,
            "target_modules": "all-linear",
        },
        output=str(given.output / "tuned"),
        resume=(given.output / "tuned").exists(),
    )
    return float(pipeline.run(Console()).summary["training_seconds"])


def prompts_of(given: argparse.Namespace, tokeniser: Any) -> tuple[Texts, list[SequenceBatch]]:
    """The held-out prompts, ``given.batch`` at a time, and their texts."""
    prepared = data(given.prompts).prepare(tokeniser)
    rows = [prepared.validation[place] for place in range(len(prepared.validation))]
    groups = [rows[start : start + given.batch] for start in range(0, len(rows), given.batch)]
    return prepared.texts, [collate(group) for group in groups]


class Drawing(Protocol):
    """An arm: completions (batch, anchor, sample) of a model's prompts, in one piece or several."""

    def __call__(
        self, model: LanguageModel, texts: Texts, batch: SequenceBatch, generator: torch.Generator
    ) -> list[Rollouts]:
        """Draw, without gradient."""
        ...


def from_policy(horizon: int) -> Drawing:
    """The language model alone."""
    sampler = AutoregressiveSampler(horizon, SAMPLES)
    return lambda model, texts, batch, generator: [
        sampler.sample(model, batch, generator=generator)
    ]


def from_target(sampler: Callable[[Texts], TargetSampler], runs: int = 1) -> Drawing:
    """The constrained model, in ``runs`` that know nothing of each other."""
    return lambda model, texts, batch, generator: [
        sampler(texts).draw(constrained(model, texts), batch, generator=generator).rollouts
        for _ in range(runs)
    ]


def arms(horizon: int) -> dict[str, Drawing]:
    """Every way to draw, by its name in the table."""
    eight = AutoregressiveSampler(horizon, 8)

    def particles(texts: Texts) -> SequentialMonteCarlo:
        # Those that can no longer parse die after every eighth token.
        start = AutoregressiveSampler(horizon, 16)
        twist = StillPossible(PARSES.may_hold, texts)
        return SequentialMonteCarlo(start, SAMPLES, block=8, twist=twist)

    return {
        "language model": from_policy(horizon),
        "best of 8": from_target(lambda texts: BestOfN(eight), SAMPLES),
        "quasi-rejection, 4 rounds of 8": from_target(
            lambda texts: QuasiRejection(eight, 0.0, SAMPLES, rounds=4)
        ),
        "SMC, 16 particles, blocks of 8": from_target(particles),
        TUNED: from_policy(horizon),
    }


def draw(
    arm: Drawing, policy: LanguageModel, base: LanguageModel, given: Any, tokeniser: Any
) -> Any:
    """Every draw of an arm as a record, and what all of them cost."""
    counted = CountedLanguageModel(policy)
    texts, batches = prompts_of(given, tokeniser)
    generator = torch.Generator().manual_seed(given.seed)
    records, seconds = [], 0.0
    for batch in batches:
        started = time.monotonic()
        drawn = arm(counted, texts, batch, generator)
        seconds += time.monotonic() - started
        for rollouts in drawn:
            likely = base.score(rollouts).completions.sum(-1)
            tokens = rollouts.token_mask().sum(-1)
            for written in texts.attempts(rollouts):
                records.append(
                    {
                        "prompt": written.attempt.prompt,
                        "completion": written.attempt.completion,
                        "parses": PARSES.holds(written.attempt),
                        "log_prob": float(likely[written.place]),
                        "tokens": int(tokens[written.place]),
                    }
                )
    return {"records": records, "drawn": counted.tokens, "seconds": seconds}


def row(found: dict[str, Any]) -> list[str]:
    """A line of the table."""
    records = found["records"]
    by_prompt: dict[str, list[dict[str, Any]]] = {}
    for record in records:
        by_prompt.setdefault(record["prompt"], []).append(record)
    rates = torch.tensor(
        [[one["parses"] for one in group] for group in by_prompt.values()]
    ).double()
    rates = rates.mean(1)
    # Samples of a prompt are alike, so prompts are counted; Wilson's where none differs.
    mean, error = float(rates.mean()), float(rates.std() / len(rates) ** 0.5)
    low, high = t_interval(mean, error, len(rates) - 1)
    if error == 0:
        low, high = wilson_interval(mean, len(rates))
    good = [one for one in records if one["parses"]]
    kept = [[one["completion"] for one in group if one["parses"]] for group in by_prompt.values()]
    distinct = sum(len(set(group)) for group in kept) / max(len(good), 1)
    pairs = [
        pair
        for one in good
        for words in [one["completion"].split()]
        for pair in itertools.pairwise(words)
    ]
    return [
        f"{mean:.0%} ({max(low, 0):.0%} to {min(high, 1):.0%})",
        f"{distinct:.2f}",
        f"{len(set(pairs)) / max(len(pairs), 1):.2f}",
        f"{sum(one['log_prob'] for one in good) / max(sum(one['tokens'] for one in good), 1):.2f}",
        f"{found['drawn'] / max(len(good), 1):.0f}",
        f"{found['seconds'] / max(len(good), 1):.2f}",
    ]


COLUMNS = (
    "arm",
    "parses (95 %)",
    "distinct",
    "distinct-2",
    "log p a token",
    "tokens drawn each",
    "seconds each",
)


def table(output: Path, names: Sequence[str]) -> str:
    """All finished arms, in Markdown; ``each`` is for every completion that parses."""
    lines = [COLUMNS, ["---"] * len(COLUMNS)]
    for name in names:
        if (path := output / file_name(name)).exists():
            lines.append([name, *row(json.loads(path.read_text("utf-8")))])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def file_name(arm: str) -> str:
    """Where an arm's draws are kept."""
    return arm.split(",")[0].replace(" ", "_") + ".json"


def main() -> None:
    """Draw from every arm that has not been drawn from, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--output", type=Path, default=Path("runs/parsing"))
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--prompts", type=int, default=24)
    parser.add_argument("--horizon", type=int, default=48)
    parser.add_argument("--batch", type=int, default=24, help="prompts at once")
    parser.add_argument("--steps", type=int, default=30, help="of tuning")
    parser.add_argument("--learning-rate", type=float, default=3e-4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--table", action="store_true", help="print what is there")
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    ways = arms(given.horizon)
    for name, arm in ways.items() if not given.table else ():
        path = given.output / file_name(name)
        if path.exists():
            continue
        trained = tune(given) if name == TUNED else 0.0
        base, tokeniser = ebmlm.load(given.model)
        policy = ebmlm.load(str(given.output / "tuned" / "checkpoint"))[0] if trained else base
        with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
            found = draw(arm, policy, base, given, tokeniser)
        found["training_seconds"] = trained
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(found, indent=1), "utf-8")
        partial.replace(path)
        print(name, row(found), flush=True)
    print(table(given.output, list(ways)))


if __name__ == "__main__":
    main()
