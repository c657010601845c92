"""The languages that English is translated into, and how a pair of texts becomes a pair."""

from __future__ import annotations

from enum import Enum

from ebmlm.data.pair import Pair

__all__ = ["Language", "translation"]


class Language(Enum):
    """A language by its name in English."""

    FRENCH = "French"
    GERMAN = "German"

    @property
    def code(self) -> str:
        """Its code in ISO 639-1."""
        return {Language.FRENCH: "fr", Language.GERMAN: "de"}[self]

    @property
    def folders(self) -> tuple[str, ...]:
        """The names that folders of its texts have, without other countries' variants."""
        return {Language.FRENCH: ("fr", "fr_FR"), Language.GERMAN: ("de", "de_DE")}[self]


def translation(
    key: str, english: str, references: tuple[str, ...], language: Language, place: str
) -> Pair:
    """Return an English text and its translation as a pair.

    The space between the colon and the translation belongs to the completion, as to the token
    that a model writes there.

    Args:
        key: for the split.
        english: one line.
        references: translations, one line each; the first is the completion.
        language: of the translations.
        place: where it was found, such as a package or page.
    """
    columns = {"source": english, "references": references, "place": place}
    prompt = f"English: {english}\n{language.value}:"
    return Pair(key, prompt, f" {references[0]}", columns)
