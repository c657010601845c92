"""Reading one text file, and saying why it cannot be read."""

from __future__ import annotations

from pathlib import Path

from ebmlm.errors import UserError

__all__ = ["UnusableFileError", "check_encoding", "clean_text", "decode", "read_bytes"]


class UnusableFileError(Exception):
    """A file that gives no text.

    The source that reads it decides whether that ends the run or is counted.

    Attributes:
        reason: a short name to count under.
        detail: a clause about this file, for a message.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def check_encoding(encoding: str) -> None:
    """Refuse an encoding that Python does not know or that is not one of text.

    Raises:
        UserError: if so.
    """
    try:
        # Not an empty string: Python looks no codec up for that.
        b"a".decode(encoding)
    except LookupError as error:
        raise UserError(
            f"encoding {encoding!r} is not a text encoding that Python knows;"
            " name one such as 'utf-8', 'latin-1' or 'utf-16'"
        ) from error
    except UnicodeError:
        return


def read_bytes(path: Path) -> bytes:
    """Return the bytes of a regular file.

    Raises:
        UnusableFileError: if it is not one (a pipe would block for ever) or may not be read.
    """
    try:
        if not path.is_file():
            raise UnusableFileError("not a regular file", "is not a regular file")
        return path.read_bytes()
    except OSError as error:
        raise UnusableFileError("unreadable", f"cannot be read: {error.strerror}") from error


def decode(data: bytes, encoding: str) -> str:
    r"""Return the text of ``data``, without byte-order mark and with ``\\n`` line ends.

    Raises:
        UnusableFileError: if the bytes are not text in that encoding.
    """
    reason = f"not {encoding} text"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        detail = (
            f"is not {encoding} text: {error.reason} at line {line},"
            f" byte {error.start} (0x{data[error.start]:02x})"
        )
        raise UnusableFileError(reason, detail) from error
    except UnicodeError as error:
        raise UnusableFileError(reason, f"is not {encoding} text: {error}") from error
    return clean_text(text, reason)


def clean_text(text: str, reason: str) -> str:
    r"""Return ``text`` without byte-order mark and with ``\\n`` line ends.

    Raises:
        UnusableFileError: under ``reason`` if it holds NUL characters or lone surrogates, which
            are the marks of a binary file or of another encoding that happened to decode.
    """
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise UnusableFileError(reason, f"is {reason}: it holds a NUL character at line {line}")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        line = text.count("\n", 0, error.start) + 1
        raise UnusableFileError(
            reason, f"is {reason}: it holds half a surrogate pair at line {line}"
        ) from error
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
