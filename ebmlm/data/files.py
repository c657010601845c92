"""Documents that are text files."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ebmlm.data.decoding import UnusableFileError, check_encoding, decode, read_bytes
from ebmlm.data.folders import files_under, is_hidden
from ebmlm.data.source import Corpus, Document, TextSource
from ebmlm.data.suggestions import nearest
from ebmlm.errors import UserError

__all__ = ["TextFiles"]


@dataclass(frozen=True)
class _Candidate:
    """A file that may become a document; ``named`` if the user wrote its very path."""

    path: Path
    key: str
    named: bool


@dataclass(frozen=True)
class TextFiles(TextSource):
    r"""Text files: each file is one document.

    A file that was written down itself must be usable. One found in a folder or by a pattern is
    skipped and counted where it is not (another encoding, binary, blank, unreadable), and so are
    hidden files and folders, and files reached twice. Byte-order marks are dropped and line ends
    become ``\\n``.

    A document's key is the path relative to the folder, or to the part of the pattern before its
    first wildcard; of a file that was written down itself, the path as written.

    Attributes:
        paths: files, folders (searched with everything below them) and patterns such as
            ``texts/**/*.md``.
        suffixes: which file names to take from folders and patterns, such as ``[.py, .pyi]``; all
            of them if not given. Files that were written down themselves are always taken.
        encoding: the encoding of all files, by Python's name for it.

    Raises:
        UserError: when built, if there is no path, a suffix without its dot, or an unknown
            encoding.
    """

    paths: list[str]
    suffixes: tuple[str, ...] | None = None
    encoding: str = "utf-8"

    def __post_init__(self) -> None:
        if isinstance(self.paths, str):
            raise UserError(f"paths is the text {self.paths!r}; give a list: [{self.paths!r}]")
        if not self.paths:
            raise UserError("paths is empty; name at least one file, folder or pattern")
        if isinstance(self.suffixes, str):
            raise UserError(
                f"suffixes is the text {self.suffixes!r}; give a list: [{self.suffixes!r}]"
            )
        for suffix in self.suffixes or ():
            if not suffix.startswith("."):
                raise UserError(
                    f"suffix {suffix!r} does not begin with a dot; write {'.' + suffix!r}"
                )
        check_encoding(self.encoding)

    def read(self) -> Corpus[Document]:
        """Read every file.

        Raises:
            UserError: if a path does not exist, a pattern matches nothing, a file that was
                written down itself is blank or not text in the encoding, or no text is found.
        """
        skipped: Counter[str] = Counter()
        documents = []
        for candidate in self._candidates(skipped):
            try:
                documents.append(Document(candidate.key, self._text(candidate.path)))
            except UnusableFileError as error:
                if candidate.named:
                    raise UserError(
                        f"{candidate.path} {error.detail}; leave it out of paths, mend it, or set"
                        f" encoding (now {self.encoding!r}) to the one it is in"
                    ) from error
                skipped[error.reason] += 1
        if not documents:
            kind = f" with suffix {' or '.join(self.suffixes)}" if self.suffixes else ""
            why = ", ".join(f"{reason}: {count}" for reason, count in sorted(skipped.items()))
            raise UserError(
                f"no text file{kind} in {', '.join(self.paths)} (skipped: {why or 'nothing'});"
                " check paths, suffixes and encoding"
            )
        return Corpus(tuple(documents), dict(skipped))

    def _text(self, path: Path) -> str:
        text = decode(read_bytes(path), self.encoding)
        if not text.strip():
            raise UnusableFileError("blank", "is empty or only white space")
        return text

    def _candidates(self, skipped: Counter[str]) -> list[_Candidate]:
        """Return the files of all paths, each once, adding to ``skipped`` what is left out."""
        unique: dict[str, _Candidate] = {}
        for entry in self.paths:
            for candidate in self._expand(entry, skipped):
                real = os.path.realpath(candidate.path)
                first = unique.setdefault(real, candidate)
                if first is not candidate:
                    skipped["reached twice"] += 1
                    named = first.named or candidate.named
                    unique[real] = _Candidate(first.path, first.key, named)
        return list(unique.values())

    def _expand(self, entry: str, skipped: Counter[str]) -> Iterator[_Candidate]:
        path = Path(entry).expanduser()
        if path.is_dir():
            yield from self._folder(path, Path(), skipped)
        elif path.exists():
            yield _Candidate(path, Path(entry).as_posix(), named=True)
        elif glob.has_magic(entry):
            yield from self._pattern(path, skipped)
        else:
            siblings = [each.name for each in path.parent.iterdir()] if path.parent.is_dir() else []
            raise UserError(
                f"{entry} does not exist{nearest(path.name, siblings)};"
                " name a file, a folder or a pattern"
            )

    def _pattern(self, path: Path, skipped: Counter[str]) -> Iterator[_Candidate]:
        matches = sorted(Path(match) for match in glob.glob(str(path), recursive=True))
        if not matches:
            raise UserError(f"pattern {path} matches no file; check it and the working folder")
        fixed = Path()
        for part in path.parts:
            if glob.has_magic(part):
                break
            fixed /= part
        entered: set[Path] = set()
        for match in matches:
            # A folder sorts before its contents, so they have been seen if it matched.
            if not entered.isdisjoint(match.parents):
                continue
            key = match.relative_to(fixed)
            if match.is_dir():
                entered.add(match)
                yield from self._folder(match, key, skipped)
            else:
                yield from self._found(match, key.as_posix(), skipped)

    def _folder(self, folder: Path, key: Path, skipped: Counter[str]) -> Iterator[_Candidate]:
        relatives, hidden = files_under(folder, is_hidden)
        if hidden:
            skipped["hidden"] += hidden
        for relative in relatives:
            yield from self._found(folder / relative, (key / relative).as_posix(), skipped)

    def _found(self, path: Path, key: str, skipped: Counter[str]) -> Iterator[_Candidate]:
        if self.suffixes is None or path.name.endswith(self.suffixes):
            yield _Candidate(path, key, named=False)
        else:
            skipped["other suffix"] += 1
