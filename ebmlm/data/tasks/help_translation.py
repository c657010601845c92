"""Pairs that are paragraphs of an office program's help and their translations."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

from ebmlm.data.decoding import UnusableFileError, decode, read_bytes
from ebmlm.data.folders import files_under
from ebmlm.data.pair import Pair, PairSource
from ebmlm.data.source import Corpus
from ebmlm.data.tasks.language import Language, translation
from ebmlm.errors import UserError

__all__ = ["HelpTranslation"]

_INSTALLED = "/usr/share/libreoffice/help"
_ENGLISH = "en-US"
_TAGS = frozenset({"p", "h1", "h2", "h3", "h4", "h5", "h6"})
# Texts for several systems side by side, of which a browser shows one.
_SWITCH = "switchinline"


@dataclass(frozen=True)
class HelpTranslation(PairSource):
    """Paragraphs of LibreOffice's help in English and another language, by their ids.

    The pages are those of the Debian packages libreoffice-help-en-us, -fr and -de. Prompt and
    completion look as in :class:`~ebmlm.data.tasks.CatalogueTranslation`. Left out and counted are
    paragraphs that are not there in both languages, the same in both, shorter or longer than asked
    for, different by operating system, or repeated.

    The key is the page, so that a split is by page. Pages are written to patterns, so a held-out
    paragraph may still have a near-copy in training
    (:class:`~ebmlm.data.NearCopies` drops those). Columns: ``source`` (the English text),
    ``references`` (the translation), ``place`` (the page).

    Attributes:
        language: to translate into.
        folder: the help's folder, with a folder for each language; where Debian's packages put
            it if not given.
        fewest_words: of an English paragraph.
        most_words: of an English paragraph.

    Raises:
        UserError: when built, if the numbers of words are out of range.
    """

    language: Language = Language.FRENCH
    folder: str | None = None
    fewest_words: int = 4
    most_words: int = 60

    def __post_init__(self) -> None:
        if not 1 <= self.fewest_words <= self.most_words:
            raise UserError(
                f"fewest_words is {self.fewest_words} and most_words {self.most_words}; the first"
                " must be at least 1 and at most the second"
            )

    def read(self) -> Corpus[Pair]:
        """Read every page.

        Raises:
            UserError: if the help of either language is not there, or has no paragraph in common.
        """
        english, other = self._text_folder(_ENGLISH), self._text_folder(self.language.code)
        skipped: Counter[str] = Counter()
        pairs: dict[str, Pair] = {}
        relatives, _ = files_under(english, lambda relative: False)
        for relative in relatives:
            if not relative.endswith(".html"):
                continue
            if not (other / relative).is_file():
                skipped["page in one language only"] += 1
                continue
            try:
                sources, targets = _paragraphs(english / relative), _paragraphs(other / relative)
            except UnusableFileError as error:
                skipped[f"{error.reason} page"] += 1
                continue
            for name, source in sources.items():
                target = targets.get(name)
                reason = self._refused(source, target)
                if source is None or target is None or reason is not None:
                    skipped[str(reason)] += 1
                    continue
                pair = translation(relative, source, (target,), self.language, relative)
                identity = pair.fingerprint()
                skipped["repeated"] += identity in pairs
                pairs.setdefault(identity, pair)
        if not pairs:
            raise UserError(
                f"{english} and {other} have no paragraph of {self.fewest_words} to"
                f" {self.most_words} words in common; allow other lengths, or give the folder of"
                " LibreOffice's help"
            )
        return Corpus(tuple(pairs.values()), dict(+skipped))

    def _text_folder(self, name: str) -> Path:
        folder = Path(self.folder or _INSTALLED).expanduser() / name / "text"
        if not folder.is_dir():
            raise UserError(
                f"there is no help in {folder}: apt-get install libreoffice-help-en-us"
                f" libreoffice-help-{self.language.code}, or set folder to a folder that has"
                f" {_ENGLISH}/text and {self.language.code}/text"
            )
        return folder

    def _refused(self, source: str | None, target: str | None) -> str | None:
        if source is None or target is None:
            return "in one language only, or different by operating system"
        if not source or not target:
            return "empty"
        if source.casefold() == target.casefold():
            return "the same in both languages"
        if len(source.split()) < self.fewest_words:
            return "short paragraph"
        if len(source.split()) > self.most_words:
            return "long paragraph"
        return None


def _paragraphs(path: Path) -> dict[str, str | None]:
    """The texts of a page by their ids, None for those that differ by operating system."""
    parser = _Paragraphs()
    parser.feed(decode(read_bytes(path), "utf-8"))
    return parser.found


class _Paragraphs(HTMLParser):
    """Collects paragraphs and headings with ids; those never stand in one another."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, str | None] = {}
        self._name: str | None = None
        self._parts: list[str] = []
        self._switched = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in _TAGS:
            name = given.get("id") or ""
            self._name = name if name.startswith(("par_", "hd_")) else None
            self._parts, self._switched = [], False
        elif tag == "br":
            self._parts.append(" ")
        elif _SWITCH in (given.get("class") or ""):
            self._switched = True

    def handle_endtag(self, tag: str) -> None:
        if tag in _TAGS and self._name is not None:
            text = " ".join("".join(self._parts).split())
            self.found.setdefault(self._name, None if self._switched else text)
            self._name = None

    def handle_data(self, data: str) -> None:
        self._parts.append(data)
