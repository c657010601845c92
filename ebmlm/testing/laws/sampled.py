"""Text that is long enough for a sampler, a model that it is asked to draw from, and draws."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
from hypothesis import strategies as st

from ebmlm.errors import UserError
from ebmlm.rollouts import Rollouts, SequenceBatch
from ebmlm.samplers.base import Sampler
from ebmlm.testing.describe import Readable, describe_batch
from ebmlm.testing.strategies.models import tabular_models
from ebmlm.testing.strategies.texts import texts_of_length
from ebmlm.testing.tabular import TabularLanguageModel

__all__ = ["Sampling", "as_pairs", "samplings", "shortest_text"]

_LONGEST_TEXT = 512
_LONGEST_HORIZON = 10


@dataclass(frozen=True, eq=False)
class Sampling(Readable):
    """A model, text, and a seed: all that a sampler is asked to draw with."""

    model: TabularLanguageModel
    batch: SequenceBatch
    seed: int

    def draw(self, sampler: Sampler, batch: SequenceBatch | None = None) -> Rollouts:
        """Draw with a new generator of the same seed, from this text or another one."""
        generator = torch.Generator().manual_seed(self.seed)
        text = self.batch if batch is None else batch
        return sampler.sample(self.model, text, generator=generator)

    def __str__(self) -> str:
        return f"seed {self.seed}, {self.model}\n{describe_batch(self.batch)}"


@st.composite
def samplings(draw: st.DrawFn, sampler: Sampler) -> Sampling:
    """Packed and padded text with room for the sampler's rollouts, a table, and a seed."""
    length = shortest_text(sampler)
    return Sampling(
        draw(tabular_models(max_vocabulary=2 if sampler.horizon > 4 else 3, max_order=2)),
        as_pairs(draw(texts_of_length(2, length))),
        draw(st.integers(0, 99)),
    )


def as_pairs(batch: SequenceBatch) -> SequenceBatch:
    """The same text as prompts and completions, which begin at the first given anchor of a row.

    So a sampler may place its anchors by what the data says, one way or the other.
    """
    assert batch.anchors is not None
    index = torch.arange(batch.sequences.shape[1])
    return dataclasses.replace(batch, targets=index >= batch.anchors[:, :1])


def shortest_text(sampler: Sampler) -> int:
    """Tokens of the shortest document in which the sampler places an anchor.

    Raises:
        UserError: where 512 tokens are not enough, or a horizon is too long to list completions.
    """
    if sampler.horizon > _LONGEST_HORIZON:
        raise UserError(
            f"horizon is {sampler.horizon}: the laws list all that can be drawn, so check the"
            f" sampler with a horizon of at most {_LONGEST_HORIZON}"
        )
    for length in range(2, _LONGEST_TEXT + 1):
        given = torch.ones(1, 1, dtype=torch.long)
        batch = SequenceBatch.of(torch.zeros(1, length, dtype=torch.long), anchors=given)
        try:
            _, mask = sampler.anchors(as_pairs(batch), sampler.horizon)
        except UserError:
            continue
        if mask.any():
            return length
    raise UserError(
        f"{sampler.anchors} places no anchor in {_LONGEST_TEXT} tokens: check the sampler with"
        " anchors that fit a shorter text"
    )
