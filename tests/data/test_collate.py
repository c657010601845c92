from __future__ import annotations

import pytest
import torch
from torch.utils.data import DataLoader
from transformers import PreTrainedTokenizerFast

from ebmlm.data import Document, PackedText, PaddingSide, TextRow, collate


def row(tokens: list[int], documents: list[int], number: int) -> TextRow:
    return TextRow(torch.tensor(tokens), torch.tensor(documents), number)


ROWS = [row([5, 6, 7], [0, 0, 1], 4), row([8, 9], [0, 0], 2)]


def test_rows_are_padded_on_the_right() -> None:
    batch = collate(ROWS)
    assert batch.sequences.tolist() == [[5, 6, 7], [8, 9, 0]]
    assert batch.sequence_mask.tolist() == [[True] * 3, [True, True, False]]
    assert batch.documents.tolist() == [[0, 0, 1], [0, 0, 0]]
    assert batch.ids.tolist() == [4, 2]


def test_rows_are_padded_on_the_left() -> None:
    batch = collate(ROWS, PaddingSide.LEFT)
    assert batch.sequences.tolist() == [[5, 6, 7], [0, 8, 9]]
    assert batch.sequence_mask.tolist() == [[True] * 3, [False, True, True]]
    assert batch.documents.tolist() == [[0, 0, 1], [0, 0, 0]]
    assert batch.positions()[batch.sequence_mask].tolist() == [0, 1, 0, 0, 1]


def test_token_zero_is_no_padding() -> None:
    batch = collate([row([0, 0], [0, 0], 0), row([1, 0, 0], [0, 0, 0], 1)])
    assert batch.sequence_mask.sum(dim=1).tolist() == [2, 3]


def test_no_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one row"):
        collate([])


TARGETS = TextRow(
    torch.tensor([3, 4, 5]), torch.tensor([9, 9, 9]), 9, torch.tensor([False, True, True])
)


@pytest.mark.parametrize("side", PaddingSide)
def test_targets_are_padded_with_the_tokens(side: PaddingSide) -> None:
    longer = TextRow(
        torch.tensor([1, 0, 2, 0]),
        torch.tensor([6, 6, 7, 7]),
        1,
        torch.tensor([False, True, True, True]),
    )
    batch = collate([TARGETS, longer], side)
    assert batch.targets is not None
    at = slice(1, None) if side is PaddingSide.LEFT else slice(None, 3)
    assert batch.targets[0, at].tolist() == [False, True, True]
    assert batch.targets[0].sum() == 2
    assert batch.targets[1].tolist() == [False, True, True, True]
    # The first token of a document follows nothing.
    assert batch.target_mask()[1].tolist() == [False, True, False, True]
    assert batch.target_mask()[0, at].tolist() == [False, True, True]
    assert batch.target_mask()[0].sum() == 2


@pytest.mark.parametrize("side", PaddingSide)
def test_rows_of_raw_text_beside_pairs_count_whole(side: PaddingSide) -> None:
    batch = collate([*ROWS, TARGETS], side)
    assert batch.targets is not None
    assert torch.equal(batch.targets[:2], batch.sequence_mask[:2])
    assert batch.targets[2].tolist() == [False, True, True]


def test_raw_text_alone_has_no_targets() -> None:
    assert collate(ROWS).targets is None


@pytest.mark.parametrize("workers", [0, 1])
def test_data_loader_batches_packed_text(tokenizer: PreTrainedTokenizerFast, workers: int) -> None:
    packed = PackedText.of([Document("a", "x" * 10), Document("b", "y" * 13)], tokenizer, 7)
    loader = DataLoader(packed, batch_size=2, collate_fn=collate, num_workers=workers)
    batches = list(loader)
    assert torch.cat([batch.ids for batch in batches]).tolist() == [0, 1, 2, 3]
    real = [batch.sequences[batch.sequence_mask] for batch in batches]
    assert torch.equal(torch.cat(real), packed.stream.long())
