"""Draws as they are read: texts, numbers of each, and what is known of how they were drawn."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from ebmlm.rollouts import Rollouts, SequenceBatch
from ebmlm.samplers.base import Sampler
from ebmlm.targets.cost import CountedLanguageModel
from ebmlm.targets.energy_model import EnergyModel
from ebmlm.targets.samplers.base import TargetSampler
from ebmlm.texts import Texts

__all__ = ["DrawsRecord", "WrittenDraw"]


@dataclass(frozen=True)
class WrittenDraw:
    """One completion.

    Attributes:
        id: of the prompt's sequence.
        sample: its number among the prompt's completions, from 0.
        prompt: as text.
        completion: as text, without special tokens.
        tokens: drawn for it, an end token included.
        log_prob: under the language model, in nats.
        energy: under the target's energy, infinite where it is ruled out; None without a target.
        diagnostics: of its prompt's draws.
    """

    id: int
    sample: int
    prompt: str
    completion: str
    tokens: int
    log_prob: float
    energy: float | None
    diagnostics: Mapping[str, float]


class DrawsRecord:
    """What has been drawn so far, batch by batch.

    Args:
        texts: of the prompts.
        target: what is drawn from; None for the language model alone.
        model: that counts what is drawn from it.

    Attributes:
        written: every completion, in order.
        seconds: that drawing took; kept by the caller.
    """

    def __init__(
        self, texts: Texts, target: EnergyModel | None, model: CountedLanguageModel
    ) -> None:
        self.texts = texts
        self.target = target
        self.model = model
        self.written: list[WrittenDraw] = []
        self.seconds = 0.0

    @property
    def tokens(self) -> int:
        """Drawn from the language model in all."""
        return self.model.tokens

    @property
    def diagnostics(self) -> dict[str, list[float]]:
        """Of each prompt, by name."""
        found: dict[str, list[float]] = {}
        for one in self.written:
            if one.sample == 0:
                for name, value in one.diagnostics.items():
                    found.setdefault(name, []).append(value)
        return found

    def remarks(self) -> list[str]:
        """What must be known to read the completions rightly, in words; none where all is well."""
        found = self.diagnostics
        number = len({one.id for one in self.written})
        lost = sum(count > 0 for count in found.get("ruled_out", []))
        bounds = (found.get(f"log_partition_{end}", []) for end in ("low", "high"))
        flat = sum(low == high for low, high in zip(*bounds, strict=True))
        told = {
            "the energy does not allow all of the completions, as not enough that it allows were"
            " found: draw more candidates, or ask for less": lost,
            "all candidates have the same energy, which so chose nothing: draw more candidates, or"
            " ask for what is less rare": flat,
        }
        return [f"at {at} of {number} prompts {text}" for text, at in told.items() if at]

    def draw(
        self, sampler: Sampler | TargetSampler, batch: SequenceBatch, generator: torch.Generator
    ) -> None:
        """Draw completions of a batch of prompts and record them."""
        if isinstance(sampler, Sampler):
            rollouts = sampler.sample(self.model, batch, generator=generator)
            self._record(rollouts, {}, None)
            return
        assert self.target is not None
        drawn = sampler.draw(self.target, batch, generator=generator)
        diagnostics = _with_interval(drawn.diagnostics)
        self._record(drawn.rollouts, diagnostics, self.target.energies(drawn.rollouts))

    def lines(self) -> Iterator[dict[str, Any]]:
        """Yield every completion as JSON; what is not finite is null."""
        for one in self.written:
            fields = dataclasses.asdict(one)
            fields["ruled_out"] = one.energy is not None and math.isinf(one.energy)
            fields["diagnostics"] = {
                name: _finite(value) for name, value in one.diagnostics.items()
            }
            fields["energy"] = None if one.energy is None else _finite(one.energy)
            yield fields

    def _record(
        self,
        rollouts: Rollouts,
        diagnostics: Mapping[str, torch.Tensor],
        energies: torch.Tensor | None,
    ) -> None:
        plain = rollouts
        if self.target is not None:
            plain = dataclasses.replace(rollouts, distribution=self.target.distribution)
        log_probs = self.model.score(plain).completions.sum(-1)
        tokens = rollouts.token_mask().sum(-1)
        for one in self.texts.attempts(rollouts):
            row, anchor, sample = one.place
            self.written.append(
                WrittenDraw(
                    id=int(rollouts.batch.ids[row]),
                    sample=sample,
                    prompt=one.attempt.prompt,
                    completion=one.attempt.completion,
                    tokens=int(tokens[one.place]),
                    log_prob=float(log_probs[one.place]),
                    energy=None if energies is None else float(energies[one.place]),
                    diagnostics={
                        name: float(value[row, anchor]) for name, value in diagnostics.items()
                    },
                )
            )


def _with_interval(diagnostics: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """With bounds of 95 % for the log-partition function, where its error is known."""
    found = dict(diagnostics)
    if (error := found.pop("log_partition_error", None)) is not None:
        found["log_partition_low"] = found["log_partition"] - 1.96 * error
        found["log_partition_high"] = found["log_partition"] + 1.96 * error
    return found


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
