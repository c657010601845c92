from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ebmlm.data.tasks import CatalogueTranslation, Language
from ebmlm.errors import UserError

polib = pytest.importorskip("polib")

PO = """
msgid ""
msgstr "Content-Type: text/plain; charset=UTF-8\\n"

msgid "Save changes"
msgstr "Enregistrer les modifications"

msgid "save changes!"
msgstr "Enregistrez !"

#, fuzzy
msgid "Old text here"
msgstr "Vieux texte ici"

msgid "one file"
msgid_plural "many files"
msgstr[0] "un fichier"
msgstr[1] "des fichiers"

msgid "Hello %(name)s there"
msgstr "Bonjour %(name)s"

msgid "Hello {name} there"
msgstr "Bonjour {name}"

msgid "Cancel"
msgstr "Annuler"

msgid "Email 12"
msgstr "Courriel 12"

msgid "Not translated yet"
msgstr ""

msgid "Menu Bar"
msgstr "menu bar"

msgid "Two\\nlines"
msgstr "Deux lignes"

msgid "  Odd   spaces here "
msgstr "Des  espaces "

#~ msgid "Gone for good"
#~ msgstr "Parti pour de bon"
"""


def test_catalogues_are_filtered_and_counted(make_package) -> None:
    make_package("made_catalogue", {"locale/fr/LC_MESSAGES/django.po": PO})
    corpus = CatalogueTranslation(packages=["made_catalogue"]).read()
    assert [(pair.prompt, pair.completion) for pair in corpus.documents] == [
        ("English: Save changes\nFrench:", " Enregistrer les modifications"),
        ("English: Odd spaces here\nFrench:", " Des espaces"),
    ]
    assert corpus.documents[0].columns == {
        "source": "Save changes",
        "references": ("Enregistrer les modifications", "Enregistrez !"),
        "place": "made_catalogue",
    }
    assert corpus.skipped == {
        "repeated": 1,
        "fuzzy": 1,
        "plural": 1,
        "placeholder or markup": 2,
        "fewer than two words": 2,
        "not translated": 1,
        "the same in both languages": 1,
        "several lines": 1,
        "obsolete": 1,
    }


def test_a_text_has_one_key_wherever_it_stands(make_package) -> None:
    one = 'msgid "Save changes"\nmsgstr "Sauver tout"\n'
    other = 'msgid "Save changes:"\nmsgstr "Sauver ceci"\n'
    make_package("made_one", {"locale/fr/LC_MESSAGES/a.po": one})
    make_package("made_other", {"locale/fr_FR/LC_MESSAGES/b.po": other})
    keys = [
        CatalogueTranslation(packages=[name]).read().documents[0].key
        for name in ("made_one", "made_other")
    ]
    assert keys[0] == keys[1]


def test_compiled_catalogues_are_read_where_there_is_no_source(
    make_package, tmp_path: Path
) -> None:
    make_package("made_compiled", {"locale/de/LC_MESSAGES/a.po": PO})
    path = tmp_path / "site/made_compiled/locale/de/LC_MESSAGES/a.po"
    polib.pofile(str(path)).save_as_mofile(str(path.with_suffix(".mo")))
    source = CatalogueTranslation(Language.GERMAN, packages=["made_compiled"])
    both = source.read()
    path.unlink()
    compiled = source.read()
    # Compiled catalogues are in the order of their texts.
    assert {pair.key for pair in compiled.documents} == {pair.key for pair in both.documents}
    assert both.documents[0].prompt == "English: Save changes\nGerman:"
    assert sum(both.skipped.values()) > sum(compiled.skipped.values())


@pytest.mark.parametrize(("language", "fewest"), [(Language.FRENCH, 2000), (Language.GERMAN, 900)])
def test_real_catalogues(language: Language, fewest: int) -> None:
    pytest.importorskip("django")
    corpus = CatalogueTranslation(language).read()
    assert len(corpus.documents) > fewest
    assert len({pair.key for pair in corpus.documents}) == len(corpus.documents)
    for pair in corpus.documents:
        assert isinstance(pair.prompt, str) and isinstance(pair.completion, str)
        assert pair.prompt.count("\n") == 1
        assert pair.completion == f" {pair.columns['references'][0]}"
        assert pair.completion.strip() == pair.completion[1:]


def test_other_languages_and_countries_are_not_taken(make_package) -> None:
    entry = 'msgid "Save changes"\nmsgstr "Sauver tout"\n'
    make_package(
        "made_foreign",
        {"locale/fr_CA/LC_MESSAGES/a.po": entry, "locale/fr/elsewhere/a.po": entry},
    )
    with pytest.raises(UserError, match="no French catalogue with usable messages in made_foreign"):
        CatalogueTranslation(packages=["made_foreign"]).read()


def test_a_broken_catalogue_is_named(make_package) -> None:
    make_package(
        "made_bad", {"locale/fr/LC_MESSAGES/a.po": 'msgid "a b"\nmsgstr "c d"\nnonsense\n'}
    )
    with pytest.raises(UserError, match=r"a\.po is no catalogue that can be read"):
        CatalogueTranslation(packages=["made_bad"]).read()


def test_without_polib_the_extra_is_named(make_package, monkeypatch: pytest.MonkeyPatch) -> None:
    make_package("made_nopolib", {"locale/fr/LC_MESSAGES/a.po": PO})
    monkeypatch.setitem(sys.modules, "polib", None)
    with pytest.raises(UserError, match=r"pip install 'ebmlm\[tasks\]'"):
        CatalogueTranslation(packages=["made_nopolib"]).read()


def test_bad_options_are_refused_when_built() -> None:
    with pytest.raises(UserError, match="longest is 0"):
        CatalogueTranslation(longest=0)
    with pytest.raises(UserError, match="packages is empty"):
        CatalogueTranslation(packages=[])
