"""Documents that are the sources of the running Python's standard library."""

from __future__ import annotations

import sysconfig
import tokenize
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from ebmlm.data.decoding import UnusableFileError, clean_text
from ebmlm.data.folders import files_under
from ebmlm.data.source import Corpus, Document, TextSource
from ebmlm.errors import UserError

__all__ = ["StandardLibrary", "read_source"]

_FOLDERS = frozenset(
    {
        # Not the library: what was installed into it, what pip is bundled as, caches.
        "site-packages",
        "dist-packages",
        "_bundled",
        "__pycache__",
        # Another kind of text than the library proper.
        "test",
        "tests",
        "idle_test",
        "idlelib",
        "lib2to3",
        # Tables of characters, a fifth of all tokens.
        "encodings",
    }
)
# The text of Python's language reference, as one dictionary.
_FILES = frozenset({"pydoc_data/topics.py"})
# Written when this Python was built: differs between machines and names their folders.
_BUILD_RECORD = "_sysconfigdata_"


def _left_out(relative: str) -> bool:
    name = relative.rpartition("/")[2]
    return name in _FOLDERS or relative in _FILES or name.startswith(_BUILD_RECORD)


@dataclass(frozen=True)
class StandardLibrary(TextSource):
    """The Python files of the running Python's own standard library, each one document.

    Left out: tests, idlelib, lib2to3, the tables of ``encodings``, ``pydoc_data/topics.py``,
    installed packages and what the build wrote about itself. Each file is decoded as Python
    itself would: by its coding line (PEP 263), as UTF-8 without one. Files that cannot be decoded
    so, and blank ones, are skipped and counted. A document's key is its path inside the library.
    """

    def read(self) -> Corpus[Document]:
        """Read every file.

        Raises:
            UserError: if this Python came without its sources.
        """
        folder = Path(sysconfig.get_paths()["stdlib"])
        relatives, _ = files_under(folder, _left_out)
        skipped: Counter[str] = Counter()
        documents = []
        for relative in relatives:
            if not relative.endswith(".py"):
                continue
            try:
                text = read_source(folder / relative)
            except UnusableFileError as error:
                skipped[error.reason] += 1
                continue
            documents.append(Document(relative, text))
        if not documents:
            raise UserError(
                f"this Python has no standard-library sources in {folder}; use one that was"
                " installed with them, or name other text as the source"
            )
        return Corpus(tuple(documents), dict(skipped))


def read_source(path: Path) -> str:
    """Return a Python file's text, decoded by its own coding line, as Python itself would.

    Raises:
        UnusableFileError: if it cannot be read or decoded, or is blank.
    """
    reason = "undecodable"
    try:
        with tokenize.open(path) as file:
            text = file.read()
    except (SyntaxError, UnicodeError) as error:
        raise UnusableFileError(reason, f"is {reason}: {error}") from error
    except OSError as error:
        raise UnusableFileError("unreadable", f"cannot be read: {error.strerror}") from error
    if not text.strip():
        raise UnusableFileError("blank", "is empty or only white space")
    return clean_text(text, reason)
