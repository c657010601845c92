from __future__ import annotations

import pytest

from ebmlm.data import Document, TextSource


def test_fingerprint_ignores_white_space_and_nothing_else() -> None:
    base = Document("a", "x = 1\ny = 2\n").fingerprint()
    assert Document("b", "  x = 1\n\n\ty =  2").fingerprint() == base
    assert Document("a", "x = 1\ny = 3\n").fingerprint() != base
    assert Document("a", "x=1\ny = 2\n").fingerprint() != base


def test_fingerprint_of_half_a_surrogate_pair_exists() -> None:
    assert Document("a", "\ud800").fingerprint() != Document("a", "\ud801").fingerprint()


def test_a_source_without_read_cannot_be_built() -> None:
    class Nothing(TextSource):
        pass

    with pytest.raises(TypeError, match="read"):
        Nothing()  # type: ignore[abstract]
