"""Pairs that are messages of programs and their translations, from gettext catalogues."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ebmlm.data.folders import files_under
from ebmlm.data.pair import Pair, PairSource
from ebmlm.data.source import Corpus, fingerprint
from ebmlm.data.tasks.checks import check_lengths, check_packages
from ebmlm.data.tasks.language import Language, translation
from ebmlm.data.tasks.packages import installed, package_folder
from ebmlm.errors import UserError

__all__ = ["CATALOGUES", "CatalogueTranslation"]

CATALOGUES = (
    "django",
    "rest_framework",
    "allauth",
    "jupyterlab_language_pack_fr_FR",
    "jupyterlab_language_pack_de_DE",
)
"""Those of them that are installed are read if no packages are named."""

# What a program puts in, marks up or reads as a key to press.
_MARKS = re.compile(r"%[\w(%]|[{}<>`\\|]|\$\w|&\w|https?:|::|:\w+:")
_LETTERS = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True)
class CatalogueTranslation(PairSource):
    """Messages in English and their translations, from catalogues inside installed packages.

    The prompt is ``English: ...`` and a line with the other language's name and a colon; the
    completion is a space and the translation. Left out and counted are messages that are fuzzy,
    obsolete, plural, untranslated, of one word, of several lines, too long, the same in both
    languages, or that have placeholders or markup. Each English text stands there once.

    The key is the English text without case and punctuation, so that a text goes one way in
    whatever package it stands. Columns: ``source`` (the English text), ``references`` (all its
    translations, the completion first), ``place`` (the package).

    Attributes:
        language: to translate into.
        packages: by the names that Python imports them by; of those that our extra ``tasks``
            brings, the installed ones if not given.
        longest: of an English message, in characters.

    Raises:
        UserError: when built, if the length is not positive or no package is named.
    """

    language: Language = Language.FRENCH
    packages: Sequence[str] | None = None
    longest: int = 400

    def __post_init__(self) -> None:
        check_packages(self.packages)
        check_lengths(longest=self.longest)

    def read(self) -> Corpus[Pair]:
        """Read every catalogue.

        Raises:
            UserError: if a package or ``polib`` is not installed, a catalogue cannot be parsed, or
                no message is left.
        """
        names = self.read_packages()
        skipped: Counter[str] = Counter()
        found: dict[str, tuple[str, str, dict[str, None]]] = {}
        for name in names:
            for entry in self._entries(package_folder(name)):
                english, other = _one_line(entry.msgid), _one_line(entry.msgstr)
                reason = self._refused(entry, english, other)
                if reason is not None:
                    skipped[reason] += 1
                    continue
                key = _key(english)
                skipped["repeated"] += key in found
                found.setdefault(key, (english, name, {}))[2].setdefault(other)
        if not found:
            raise UserError(
                f"there is no {self.language.value} catalogue with usable messages in"
                f" {', '.join(names) or 'no package'}; name packages that have"
                f" {self.language.folders[0]}/LC_MESSAGES, or pip install 'ebmlm[tasks]'"
            )
        pairs = [
            translation(key, english, tuple(others), self.language, place)
            for key, (english, place, others) in found.items()
        ]
        return Corpus(pairs, dict(+skipped))

    def read_packages(self) -> Sequence[str]:
        """Return the names of the packages that are read."""
        return installed(CATALOGUES) if self.packages is None else self.packages

    def _entries(self, folder: Path) -> Iterator[Any]:
        try:
            import polib
        except ImportError as error:
            raise UserError(
                "catalogues are read with polib, which is not installed: pip install 'ebmlm[tasks]'"
            ) from error
        for path in self._catalogues(folder):
            try:
                catalogue = polib.pofile if path.suffix == ".po" else polib.mofile
                yield from catalogue(str(path))
            except (OSError, ValueError) as error:
                raise UserError(
                    f"{path} is no catalogue that can be read ({error}); install its package anew,"
                    " or name other packages"
                ) from error

    def _catalogues(self, folder: Path) -> Iterator[Path]:
        if not folder.is_dir():
            return
        relatives, _ = files_under(folder, lambda relative: relative.endswith("__pycache__"))
        for relative in relatives:
            path = folder / relative
            parts = path.parts[-3:-1]
            if len(parts) < 2 or parts[1] != "LC_MESSAGES":
                continue
            if parts[0] not in self.language.folders:
                continue
            # A compiled catalogue says the same as its source, less what is fuzzy.
            compiled = path.suffix == ".mo" and not path.with_suffix(".po").exists()
            if path.suffix == ".po" or compiled:
                yield path

    def _refused(self, entry: Any, english: str, other: str) -> str | None:
        if entry.obsolete:
            return "obsolete"
        if "fuzzy" in entry.flags:
            return "fuzzy"
        if entry.msgid_plural:
            return "plural"
        if not other:
            return "not translated"
        if "\n" in entry.msgid.strip() or "\n" in entry.msgstr.strip():
            return "several lines"
        if _MARKS.search(english) or _MARKS.search(other):
            return "placeholder or markup"
        if len(_LETTERS.findall(english)) < 2:
            return "fewer than two words"
        if english.casefold() == other.casefold():
            return "the same in both languages"
        if len(english) > self.longest:
            return "long message"
        return None


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _key(english: str) -> str:
    return fingerprint(" ".join(_LETTERS.findall(english.casefold())))
