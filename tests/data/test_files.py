from __future__ import annotations

from pathlib import Path

import pytest

from ebmlm.data import TextFiles
from ebmlm.errors import UserError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with good, blank, binary, badly encoded and hidden files."""
    root = tmp_path / "texts"
    (root / "sub").mkdir(parents=True)
    (root / ".git").mkdir()
    (root / "b.txt").write_text("beta")
    (root / "a.md").write_text("alpha")
    (root / "sub" / "c.txt").write_text("gamma")
    (root / "blank.txt").write_text(" \n")
    (root / "latin.txt").write_bytes("café".encode("latin-1"))
    (root / "binary.txt").write_bytes(b"a\0b")
    (root / ".git" / "d.txt").write_text("never")
    return root


def test_folder_is_read_in_order_and_what_is_unusable_counted(folder: Path) -> None:
    corpus = TextFiles([str(folder)]).read()
    assert [(each.key, each.text) for each in corpus.documents] == [
        ("a.md", "alpha"),
        ("b.txt", "beta"),
        ("sub/c.txt", "gamma"),
    ]
    assert corpus.skipped == {"blank": 1, "not utf-8 text": 2, "hidden": 1}


def test_suffixes_choose_in_folders_only(folder: Path) -> None:
    corpus = TextFiles([str(folder / "sub"), str(folder / "a.md")], suffixes=(".txt",)).read()
    assert [each.text for each in corpus.documents] == ["gamma", "alpha"]
    corpus = TextFiles([str(folder)], suffixes=(".md",)).read()
    assert [each.key for each in corpus.documents] == ["a.md"]
    assert corpus.skipped["other suffix"] == 5


def test_keys_do_not_depend_on_where_the_folder_is(folder: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere" / "deep"
    moved.parent.mkdir()
    before = TextFiles([str(folder)]).read()
    folder.rename(moved)
    assert TextFiles([str(moved)]).read() == before


def test_pattern_finds_and_names_by_what_follows_its_fixed_part(folder: Path) -> None:
    corpus = TextFiles([str(folder / "**" / "*.txt")]).read()
    assert [each.key for each in corpus.documents] == ["b.txt", "sub/c.txt"]
    assert corpus.skipped == {"blank": 1, "not utf-8 text": 2}


def test_pattern_enters_folders_it_matches(folder: Path) -> None:
    corpus = TextFiles([str(folder.parent / "t*")]).read()
    assert [each.key for each in corpus.documents] == [
        "texts/a.md",
        "texts/b.txt",
        "texts/sub/c.txt",
    ]


@pytest.mark.parametrize("pattern", ["**", "**/*", "*"])
def test_pattern_that_matches_folders_and_files_in_them_counts_each_once(
    folder: Path, pattern: str
) -> None:
    (folder / "sub" / "deep").mkdir()
    (folder / "sub" / "deep" / "blank.txt").write_text("")
    corpus = TextFiles([str(folder / pattern)]).read()
    assert [each.key for each in corpus.documents] == ["a.md", "b.txt", "sub/c.txt"]
    assert corpus.skipped["blank"] == 2
    assert "reached twice" not in corpus.skipped


def test_pattern_of_a_folder_at_any_depth_takes_all_of_it(folder: Path) -> None:
    corpus = TextFiles([str(folder.parent / "**" / "su*")]).read()
    assert [each.key for each in corpus.documents] == ["texts/sub/c.txt"]


def test_file_reached_twice_is_one_document(folder: Path) -> None:
    (folder / "link.txt").symlink_to(folder / "b.txt")
    corpus = TextFiles([str(folder), str(folder / "b.txt")]).read()
    assert [each.text for each in corpus.documents].count("beta") == 1
    assert corpus.skipped["reached twice"] == 2


def test_key_of_a_file_written_down_is_its_path_as_written(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    assert [each.key for each in TextFiles(["./sub/c.txt"]).read().documents] == ["sub/c.txt"]


def test_encoding_is_used(folder: Path) -> None:
    path = folder / "latin.txt"
    assert TextFiles([str(path)], encoding="latin-1").read().documents[0].text == "café"


@pytest.mark.parametrize(
    ("name", "fragment"),
    [
        ("latin.txt", r"latin\.txt is not utf-8 text: .* line 1, byte 3 \(0xe9\)"),
        ("binary.txt", r"binary\.txt is not utf-8 text: it holds a NUL"),
        ("blank.txt", r"blank\.txt is empty or only white space"),
    ],
)
def test_unusable_file_that_was_written_down_is_an_error(
    folder: Path, name: str, fragment: str
) -> None:
    with pytest.raises(UserError, match=fragment):
        TextFiles([str(folder / name)]).read()
    # Also where the folder found it first.
    with pytest.raises(UserError, match=fragment):
        TextFiles([str(folder), str(folder / name)]).read()


def test_missing_path_names_the_nearest(folder: Path) -> None:
    with pytest.raises(UserError, match=r"blnk\.txt does not exist \(did you mean 'blank\.txt'"):
        TextFiles([str(folder / "blnk.txt")]).read()
    with pytest.raises(UserError, match="does not exist;"):
        TextFiles([str(folder / "no" / "where")]).read()


def test_pattern_without_match_is_an_error(folder: Path) -> None:
    with pytest.raises(UserError, match=r"\*\.rst matches no file"):
        TextFiles([str(folder / "*.rst")]).read()


def test_folder_without_text_tells_what_was_skipped(folder: Path) -> None:
    with pytest.raises(UserError, match=r"no text file with suffix \.rst .*other suffix: 6"):
        TextFiles([str(folder)], suffixes=(".rst",)).read()
    empty = folder / "empty"
    empty.mkdir()
    with pytest.raises(UserError, match=r"no text file in .*skipped: nothing"):
        TextFiles([str(empty)]).read()


def test_settings_are_checked_when_built() -> None:
    with pytest.raises(UserError, match="paths is empty"):
        TextFiles([])
    with pytest.raises(UserError, match=r"paths is the text 'a\.txt'; give a list"):
        TextFiles("a.txt")  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"suffix 'py' .* write '\.py'"):
        TextFiles(["a"], suffixes=("py",))
    with pytest.raises(UserError, match=r"suffixes is the text '\.py'"):
        TextFiles(["a"], suffixes=".py")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="'utf-9' is not a text encoding"):
        TextFiles(["a"], encoding="utf-9")
