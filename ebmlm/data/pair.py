"""The pair source: which prompts are there, and how are they really completed?"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ebmlm.data.source import Corpus, fingerprint

__all__ = ["Pair", "PairSource", "Turn"]

Turn = Mapping[str, str]
"""One message of a conversation: ``{"role": "user", "content": "..."}``."""


@dataclass(frozen=True)
class Pair:
    """A prompt and its real completion.

    Attributes:
        key: what the split between training, validation and test looks at: a source file, a
            package, a group's name, or the pair's own fingerprint. Pairs with one key always go
            the same way.
        prompt: a text; or the messages of a conversation, which the model's chat template renders.
        completion: a text; or the messages that follow.
        columns: whatever else the data says of this item, for verifiers.
    """

    key: str
    prompt: str | Sequence[Turn]
    completion: str | Sequence[Turn]
    columns: Mapping[str, Any] = field(default_factory=dict)

    def fingerprint(self) -> str:
        """Return the SHA-256 of prompt and completion, every run of white space one space.

        White space at the ends of either does not count, so that a space may stand on either side.
        """
        sides = (" ".join(_flat(side).split()) for side in (self.prompt, self.completion))
        return fingerprint("\0".join(sides))


class PairSource(ABC):
    """A place that pairs come from, with the promises of :class:`~ebmlm.data.source.TextSource`.

    The order is the same every time, each key depends on its own pair only, no completion is
    blank, and what is left out is counted by reason.
    """

    @abstractmethod
    def read(self) -> Corpus[Pair]:
        """Return every pair.

        Raises:
            UserError: if what was named cannot be used, or nothing is there.
        """


def _flat(part: str | Sequence[Turn]) -> str:
    if isinstance(part, str):
        return part
    return "\0".join(f"{turn['role']}\0{turn['content']}" for turn in part)
