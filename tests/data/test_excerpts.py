from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ebmlm.data import Document, excerpts, shuffled
from ebmlm.data.excerpts import cut

TEXTS = st.text(alphabet="ab\n", max_size=60)


@given(TEXTS, st.integers(1, 20))
def test_pieces_are_the_whole_text_and_neither_too_short_nor_too_long(
    text: str, characters: int
) -> None:
    pieces = [text[start:stop] for start, stop in cut(text, characters)]
    assert "".join(pieces) == text
    assert all(characters <= len(piece) <= 2.5 * characters for piece in pieces[:-1])
    if len(text) >= characters:
        assert len(pieces[-1]) >= characters / 2


@given(TEXTS, st.integers(1, 20))
def test_cuts_fall_on_line_ends_where_there_are_any(text: str, characters: int) -> None:
    for start, stop in list(cut(text, characters))[:-1]:
        inner = text[start + characters - 1 : start + 2 * characters]
        assert text[stop - 1] == "\n" or "\n" not in inner


@given(st.lists(st.tuples(TEXTS, st.booleans()), max_size=5), st.integers(1, 20))
def test_only_the_last_excerpt_of_a_complete_document_is_complete(
    texts: list[tuple[str, bool]], characters: int
) -> None:
    documents = [Document(str(n), text, end) for n, (text, end) in enumerate(texts)]
    pieces = excerpts(documents, characters)
    assert "".join(piece.text for piece in pieces) == "".join(text for text, _ in texts)
    assert len({piece.key for piece in pieces}) == len(pieces)
    wanted = [number for number, (text, end) in enumerate(texts) if text and end]
    assert [int(piece.key.partition("\0")[0]) for piece in pieces if piece.complete] == wanted


@given(st.lists(st.text(max_size=5), unique=True, min_size=1), st.text(max_size=3))
def test_order_is_independent_of_input_order_and_of_other_documents(
    keys: list[str], salt: str
) -> None:
    documents = [Document(key, "x") for key in keys]
    order = shuffled(documents, salt)
    assert shuffled(documents[::-1], salt) == order
    assert shuffled(documents[1:], salt) == [each for each in order if each != documents[0]]


def test_salt_gives_another_order() -> None:
    documents = [Document(str(number), "x") for number in range(30)]
    assert shuffled(documents, "a") != shuffled(documents, "b")
    assert shuffled(documents, "a") != documents


def test_documents_of_one_key_are_told_apart_by_another_name() -> None:
    documents = [Document("same", str(number)) for number in range(20)]
    assert shuffled(documents, "a") == documents
    order = shuffled(documents, "a", lambda document: document.text)
    assert order != documents and sorted(order, key=lambda each: int(each.text)) == documents
    assert order != shuffled(documents, "b", lambda document: document.text)
