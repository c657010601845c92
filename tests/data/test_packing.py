from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from ebmlm.data import Document, PackedText
from ebmlm.errors import UserError

TEXTS = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=12)
DOCUMENTS = st.lists(
    st.builds(Document, st.just("key"), TEXTS, st.booleans()), min_size=1, max_size=80
)
LENGTHS = st.integers(2, 9)


def stream(
    documents: list[Document], tokenizer: PreTrainedTokenizerFast, end: bool = True
) -> tuple[list[int], list[int]]:
    """Return the tokens of all documents, and the number of each token's document."""
    tokens: list[int] = []
    owners: list[int] = []
    for number, document in enumerate(documents):
        own = list(tokenizer.encode(document.text, add_special_tokens=False))
        own += [256] if end and document.complete else []
        tokens += own
        owners += [number] * len(own)
    return tokens, owners


@given(DOCUMENTS, LENGTHS, st.booleans())
def test_rows_give_back_the_stream(
    tokenizer: PreTrainedTokenizerFast, documents: list[Document], length: int, end: bool
) -> None:
    tokens, owners = stream(documents, tokenizer, end)
    assume(len(tokens) >= length)
    packed = PackedText.of(documents, tokenizer, length, end=end)
    rows = [packed[number] for number in range(len(packed))]
    got = torch.cat([row.sequence for row in rows]).tolist()
    assert got == tokens[: len(got)]
    dropped = len(tokens) - len(got)
    assert dropped < max(2, length / 2)
    assert all(len(row) == length for row in rows[:-1])
    assert max(2, length / 2) <= len(rows[-1]) <= length
    assert [row.id for row in rows] == list(range(len(rows)))
    report = packed.report
    assert (report.rows, report.tokens, report.dropped) == (len(rows), len(got), dropped)
    assert report.documents == len(set(owners[: len(got)]))
    assert report.characters == sum(len(document.text) for document in documents)
    for row in rows:
        assert row.sequence.dtype == row.documents.dtype == torch.int64
        own = owners[row.id * length :][: len(row)]
        same = [left == right for left, right in pairwise(own)]
        steps = row.documents.diff().tolist()
        assert row.documents[0] == 0
        assert steps == [0 if each else 1 for each in same]


@given(DOCUMENTS, LENGTHS, st.integers(1, 5), st.integers(0, 5))
def test_first_rows_do_not_depend_on_how_many_are_asked_for(
    tokenizer: PreTrainedTokenizerFast,
    documents: list[Document],
    length: int,
    rows: int,
    more: int,
) -> None:
    assume(len(stream(documents, tokenizer)[0]) >= length)
    few = PackedText.of(documents, tokenizer, length, rows=rows)
    many = PackedText.of(documents, tokenizer, length, rows=rows + more)
    assert len(few) == min(rows, len(PackedText.of(documents, tokenizer, length)))
    assert few.ends[-1] == len(few.stream) == few.report.tokens
    for number in range(len(few)):
        assert torch.equal(few[number].sequence, many[number].sequence)
        assert torch.equal(few[number].documents, many[number].documents)
        assert few[number].id == many[number].id


def test_only_as_much_as_needed_is_tokenised(tokenizer: PreTrainedTokenizerFast) -> None:
    documents = [Document(str(number), "x" * 9) for number in range(10_000)]
    packed = PackedText.of(documents, tokenizer, 20, rows=3)
    assert packed.report.characters == 54
    assert packed.report.documents == 6
    assert packed.report.dropped == 0


def test_end_token_follows_complete_documents(
    tokenizer: PreTrainedTokenizerFast, endless_tokenizer: PreTrainedTokenizerFast
) -> None:
    documents = [Document("a", "ab"), Document("b", "c", complete=False), Document("c", "d")]
    packed = PackedText.of(documents, tokenizer, 6)
    a, b, c, d = tokenizer.encode("abcd", add_special_tokens=False)
    assert packed[0].sequence.tolist() == [a, b, 256, c, d, 256]
    assert packed[0].documents.tolist() == [0, 0, 0, 1, 2, 2]
    assert packed.report.end_token == 256
    assert PackedText.of(documents, tokenizer, 4, end=False)[0].sequence.tolist() == [a, b, c, d]
    endless = PackedText.of(documents, endless_tokenizer, 4)
    assert endless[0].sequence.tolist() == [a, b, c, d]
    assert endless.report.end_token is None


def test_text_longer_than_the_model_takes_is_not_warned_of(
    tokenizer: PreTrainedTokenizerFast, caplog: pytest.LogCaptureFixture
) -> None:
    assert tokenizer.model_max_length == 16
    assert len(PackedText.of([Document("a", "x" * 100)], tokenizer, 10)) == 10
    assert not caplog.records


def test_indexing_ends_where_the_rows_do(tokenizer: PreTrainedTokenizerFast) -> None:
    packed = PackedText.of([Document("a", "x" * 11)], tokenizer, 4)
    assert [row.id for row in packed] == [0, 1, 2]  # type: ignore[attr-defined]
    assert packed[-1].id == 2
    with pytest.raises(IndexError, match="row 3 of 3"):
        packed[3]
    with pytest.raises(IndexError, match="row -4 of 3"):
        packed[-4]


@pytest.mark.parametrize("length", [1, 0, -3])
def test_length_under_two_is_refused(tokenizer: PreTrainedTokenizerFast, length: int) -> None:
    with pytest.raises(UserError, match=f"length is {length}; a row needs at least 2 tokens"):
        PackedText.of([Document("a", "abc")], tokenizer, length)


def test_no_rows_and_no_text_are_refused(tokenizer: PreTrainedTokenizerFast) -> None:
    with pytest.raises(UserError, match="rows is 0; ask for at least 1"):
        PackedText.of([Document("a", "abc")], tokenizer, 2, rows=0)
    with pytest.raises(UserError, match="no text to pack"):
        PackedText.of([], tokenizer, 2)


def test_too_few_tokens_for_a_row_names_both(tokenizer: PreTrainedTokenizerFast) -> None:
    with pytest.raises(UserError, match=r"the text has 4 tokens, too few .* length 10"):
        PackedText.of([Document("a", "abc")], tokenizer, 10)
    assert len(PackedText.of([Document("a", "abcd")], tokenizer, 10)) == 1
