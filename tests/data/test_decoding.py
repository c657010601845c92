from __future__ import annotations

import os
from pathlib import Path

import pytest

from ebmlm.data.decoding import UnusableFileError, check_encoding, decode, read_bytes
from ebmlm.errors import UserError


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32", "latin-1", "cp1252"])
def test_known_encodings_pass(encoding: str) -> None:
    check_encoding(encoding)


@pytest.mark.parametrize("encoding", ["utf-9", "base64", "rot13"])
def test_unknown_encodings_are_refused(encoding: str) -> None:
    with pytest.raises(UserError, match=f"'{encoding}' is not a text encoding"):
        check_encoding(encoding)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_byte_order_mark_and_line_ends_are_normalised(encoding: str) -> None:
    data = ("" if encoding != "utf-8" else "\ufeff").encode() + "é\r\nb\rc\n".encode(encoding)
    assert decode(data, encoding) == "é\nb\nc\n"


def test_wrong_encoding_names_line_and_byte() -> None:
    with pytest.raises(UnusableFileError) as caught:
        decode("one\ntwo é".encode("latin-1"), "utf-8")
    assert caught.value.reason == "not utf-8 text"
    assert "line 2, byte 8 (0xe9)" in caught.value.detail


def test_utf_16_read_as_utf_8_is_caught_by_its_nul_characters() -> None:
    with pytest.raises(UnusableFileError, match="NUL character at line 1"):
        decode("plain".encode("utf-16-le"), "utf-8")


def test_half_a_surrogate_pair_is_caught() -> None:
    with pytest.raises(UnusableFileError, match="surrogate pair at line 2"):
        decode(b"a\n\\ud800", "unicode_escape")


def test_missing_byte_order_mark_is_caught() -> None:
    with pytest.raises(UnusableFileError, match="is not utf-16 text"):
        decode(b"\x00", "utf-16")


def test_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(UnusableFileError, match="is not a regular file"):
        read_bytes(pipe)


def test_unreadable_file_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    path = tmp_path / "a.txt"
    path.write_text("a")
    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(UnusableFileError, match="cannot be read: Permission denied"):
        read_bytes(path)
