from __future__ import annotations

from pathlib import Path

import pytest

from ebmlm.data import JsonLines
from ebmlm.errors import UserError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rows.jsonl"


def read(path: Path, content: str, **settings: str) -> list[tuple[str, str]]:
    path.write_text(content, encoding="utf-8")
    return [(each.key, each.text) for each in JsonLines(str(path), **settings).read().documents]


def test_rows_become_documents(path: Path) -> None:
    rows = read(path, '{"text": "one"}\n{"text": "two\\n", "other": 3}')
    assert [text for _, text in rows] == ["one", "two\n"]


def test_key_is_the_text_and_not_the_line(path: Path) -> None:
    first = read(path, '{"text": "one"}\n{"text": "two"}\n')
    second = read(path, '{"text": "zero"}\n{"text": "two"}\n{"text": "one  "}\n')
    assert dict(first) == {key: text.strip() for key, text in second if text != "zero"}


def test_key_column_groups_rows(path: Path) -> None:
    content = '{"text": "one", "repo": "r"}\n{"text": "two", "repo": "r"}\n'
    assert [key for key, _ in read(path, content, key_column="repo")] == ["r", "r"]


def test_null_key_falls_back_to_the_text(path: Path) -> None:
    alone = read(path, '{"text": "one"}\n')
    assert read(path, '{"text": "one", "repo": null}\n', key_column="repo") == alone


def test_rows_without_text_are_counted(path: Path) -> None:
    path.write_text('{"text": "a"}\n\n{"text": null}\n{"text": " "}\n{"text": "b"}\n')
    corpus = JsonLines(str(path)).read()
    assert [each.text for each in corpus.documents] == ["a", "b"]
    assert corpus.skipped == {"blank line": 1, "no text": 2}


def test_unicode_line_separator_does_not_end_a_line(path: Path) -> None:
    assert [text for _, text in read(path, '{"text": "a\u2028b"}\n')] == ["a\u2028b"]


@pytest.mark.parametrize(
    ("line", "fragment"),
    [
        ('{"text": "b"', r"line 2 is not JSON: .* at character 13"),
        ('{"text": "b"} {"text": "c"}', r"line 2 is not JSON: Extra data at character 15"),
        ("[" * 100_000, r"line 2 is not JSON that Python can read"),
        ('["b"]', r"line 2 is an array; every line must be a JSON object"),
        ("null", r"line 2 is null; every line must be a JSON object"),
        (
            '{"txet": "b", "id": 1}',
            r"line 2 has no column 'text' \(did you mean 'txet'\?\); it has 'txet', 'id'",
        ),
        ('{"text": 3}', r"line 2 has a number in column 'text'; it must be text"),
        ('{"text": ["b"]}', r"line 2 has an array in column 'text'"),
        ('{"text": true}', r"line 2 has a truth value in column 'text'"),
        ('{"text": "\\ud800"}', r"line 2 has half a surrogate pair in column 'text'"),
    ],
)
def test_bad_line_is_named_by_its_number(path: Path, line: str, fragment: str) -> None:
    with pytest.raises(UserError, match=r"rows\.jsonl " + fragment):
        read(path, f'{{"text": "a"}}\n{line}\n')


def test_missing_key_column_is_named(path: Path) -> None:
    with pytest.raises(UserError, match="line 1 has no column 'repo'"):
        read(path, '{"text": "a"}\n', key_column="repo")


@pytest.mark.parametrize("content", ["", "\n \n"])
def test_empty_file_is_an_error(path: Path, content: str) -> None:
    with pytest.raises(UserError, match=r"rows\.jsonl is empty"):
        read(path, content)


def test_file_without_any_text_is_an_error(path: Path) -> None:
    with pytest.raises(UserError, match="every one of its 2 lines is blank there"):
        read(path, '{"text": ""}\n{"text": null}\n')


def test_wrong_encoding_names_line_and_encoding(path: Path) -> None:
    path.write_bytes('{"text": "a"}\n{"text": "é"}\n'.encode("latin-1"))
    with pytest.raises(UserError, match=r"is not utf-8 text: .* line 2, .*set encoding"):
        JsonLines(str(path)).read()
    assert JsonLines(str(path), encoding="latin-1").read().documents[1].text == "é"


def test_missing_file_names_the_nearest(path: Path) -> None:
    path.write_text("{}")
    with pytest.raises(UserError, match=r"does not exist \(did you mean 'rows\.jsonl'\?\)"):
        JsonLines(str(path.with_name("row.jsonl"))).read()


def test_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a regular file"):
        JsonLines(str(tmp_path)).read()


def test_unknown_encoding_is_refused_when_built() -> None:
    with pytest.raises(UserError, match="'utf-9' is not a text encoding"):
        JsonLines("rows.jsonl", encoding="utf-9")
