from __future__ import annotations

from pathlib import Path

import pytest

from ebmlm.data import NearCopies
from ebmlm.data.tasks import HelpTranslation, Language
from ebmlm.errors import UserError


def page(*paragraphs: tuple[str, str], tag: str = "p") -> str:
    body = "\n".join(f'<{tag} id="{name}" dir="auto">{text}</{tag}>' for name, text in paragraphs)
    return f"<html><body><p>no id</p>{body}</body></html>"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pages: dict[str, str | bytes] = {
        "en-US/text/a/one.html": page(
            ("par_1", 'Choose <span class="menuitem">File - Open</span> &amp; go<br>on.'),
            ("par_2", "Too short."),
            ("par_3", 'Press <span id="x" class="switchinline">Ctrl<i>Cmd</i></span> and F5 now.'),
            ("par_4", "This stays in all languages."),
            ("par_5", "Only English has this one."),
            ("bm_6", "A bookmark is no paragraph."),
            ("par_7", "word " * 61),
            ("par_8", ""),
        ),
        "fr/text/a/one.html": page(
            ("par_1", "Choisissez  Fichier -\nOuvrir et continuez."),
            ("par_2", "Trop court."),
            ("par_3", "Appuyez sur Ctrl et F5 maintenant."),
            ("par_4", "This stays in all languages."),
            ("bm_6", "Un signet n'est pas un paragraphe."),
            ("par_7", "mot " * 61),
            ("par_8", ""),
        ),
        "en-US/text/b/two.html": page(
            ("hd_1", "A heading of five words"), ("par_1", "Choose File - Open & go on."), tag="h2"
        ),
        "fr/text/b/two.html": page(
            ("hd_1", "Un titre de cinq mots"),
            ("par_1", "Choisissez Fichier - Ouvrir et continuez."),
            tag="h2",
        ),
        "en-US/text/b/three.html": page(("par_1", "Nobody has translated this page.")),
        "en-US/text/b/bad.html": page(("par_1", "This page is fine here.")),
        "fr/text/b/bad.html": b"<p id='par_1'>\xff\xfe\xfa</p>",
        "en-US/text/style.css": "",
    }
    for name, text in pages.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return tmp_path


def test_paragraphs_are_aligned_by_their_ids(folder: Path) -> None:
    corpus = HelpTranslation(folder=str(folder)).read()
    assert [(pair.key, pair.prompt, pair.completion) for pair in corpus.documents] == [
        (
            "a/one.html",
            "English: Choose File - Open & go on.\nFrench:",
            " Choisissez Fichier - Ouvrir et continuez.",
        ),
        ("b/two.html", "English: A heading of five words\nFrench:", " Un titre de cinq mots"),
    ]
    assert corpus.documents[0].columns == {
        "source": "Choose File - Open & go on.",
        "references": ("Choisissez Fichier - Ouvrir et continuez.",),
        "place": "a/one.html",
    }
    assert corpus.skipped == {
        "short paragraph": 1,
        "in one language only, or different by operating system": 2,
        "the same in both languages": 1,
        "long paragraph": 1,
        "empty": 1,
        "repeated": 1,
        "page in one language only": 1,
        "not utf-8 text page": 1,
    }


def test_absent_help_names_the_packages(folder: Path, tmp_path: Path) -> None:
    words = "apt-get install libreoffice-help-en-us libreoffice-help-de"
    with pytest.raises(UserError, match=words):
        HelpTranslation(Language.GERMAN, folder=str(folder)).read()
    with pytest.raises(UserError, match="there is no help in"):
        HelpTranslation(folder=str(tmp_path / "nowhere")).read()


def test_nothing_in_common_is_refused(folder: Path) -> None:
    with pytest.raises(UserError, match="no paragraph of 50 to 55 words in common"):
        HelpTranslation(folder=str(folder), fewest_words=50, most_words=55).read()


@pytest.mark.parametrize(("fewest", "most"), [(0, 5), (6, 5)])
def test_bad_numbers_are_refused_when_built(fewest: int, most: int) -> None:
    with pytest.raises(UserError, match=f"fewest_words is {fewest}"):
        HelpTranslation(fewest_words=fewest, most_words=most)


def test_template_texts_are_near_copies(folder: Path) -> None:
    for number, word in enumerate(["Font", "Area"]):
        for language, start in (
            ("en-US", "Choose Format - Character"),
            ("fr", "Choisissez Format"),
        ):
            text = page(("par_9", f"{start} - Position tab of the dialog named {word}."))
            (folder / language / "text" / f"t{number}.html").write_text(text)
    pairs = {pair.key: pair for pair in HelpTranslation(folder=str(folder)).read().documents}
    overlap = NearCopies(0.5)([pairs["t0.html"], pairs["b/two.html"]], [pairs["t1.html"]])
    assert (list(overlap.train), list(overlap.held_out)) == ([0], [0])
