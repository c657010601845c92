"""What a run is trained and measured on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ebmlm.data.row import TextRows
from ebmlm.texts import Texts

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["PreparedData", "RunData"]


@dataclass(frozen=True, eq=False)
class PreparedData:
    """Rows ready to be batched by ``ebmlm.data.collate``.

    Attributes:
        train: the rows to train on.
        validation: the rows held out; none of their documents is trained on.
        texts: the tokeniser, and of prompt-completion pairs their items.
        summary: counts that can be written as JSON, among them ``documents`` of each part,
            ``duplicates`` that were dropped from training, and what was ``skipped`` by reason.
        test: rows held out for a last look; empty where the split has no third part.
    """

    train: TextRows
    validation: TextRows
    texts: Texts
    summary: dict[str, Any]
    test: TextRows = ()


class RunData(ABC):
    """Answers one question: what rows does a run train on, and what does it hold out?

    Built from settings alone; touches nothing until it is prepared.

    Attributes:
        length: tokens of a row at most.
    """

    length: int

    @abstractmethod
    def prepare(self, tokenizer: PreTrainedTokenizerBase) -> PreparedData:
        """Read, split and tokenise.

        Raises:
            UserError: if the source cannot be read, or a part has nothing in it.
        """
