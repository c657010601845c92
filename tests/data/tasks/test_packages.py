from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ebmlm.data.tasks.packages import (
    PYTHON,
    Module,
    installed,
    package_folder,
    package_version,
    python_modules,
)
from ebmlm.errors import UserError


def test_files_are_read_without_importing(make_package) -> None:
    make_package("made_raising", {"__init__.py": "raise SystemExit\n", "sub/a.py": "x = 1\n"})
    modules, skipped = python_modules(["made_raising"])
    assert [(each.key, each.name) for each in modules] == [
        ("made_raising/__init__.py", "made_raising"),
        ("made_raising/sub/a.py", "made_raising.sub.a"),
    ]
    assert not skipped
    assert "made_raising" not in sys.modules


def test_a_package_may_be_one_file(make_package, tmp_path: Path) -> None:
    make_package("other", {})
    (tmp_path / "site" / "made_single.py").write_text("x = 1\n")
    modules, _ = python_modules(["made_single"])
    assert [(each.key, each.name) for each in modules] == [
        ("made_single/__init__.py", "made_single")
    ]


def test_the_standard_library_is_named_python() -> None:
    modules, _ = python_modules([PYTHON])
    found = {each.key: each for each in modules}
    assert found["python/json/decoder.py"].name == "json.decoder"
    assert found["python/json/__init__.py"].name == "json"
    assert found["python/bisect.py"].path.read_text() == found["python/bisect.py"].text
    assert package_version(PYTHON).startswith(f"{sys.version_info.major}.")


def test_versions_are_those_of_the_distribution() -> None:
    assert package_version("yaml") not in ("", "yaml")
    assert package_version("no_such_package_here") == ""


def test_installed_keeps_the_order() -> None:
    assert installed(["toolz", "no_such_package_here", PYTHON, "numpy"]) == (
        "toolz",
        PYTHON,
        "numpy",
    )


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("toolzz", r"did you mean 'toolz'\?.*pip install 'ebmlm\[tasks\]'"),
        ("more-itertools", "such as 'more_itertools'"),
        ("", "not a name that Python imports by"),
        ("os.path", "not a name that Python imports by"),
    ],
)
def test_missing_packages_are_refused(name: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        package_folder(name)


def test_a_package_named_twice_is_refused() -> None:
    with pytest.raises(UserError, match="'toolz' is named twice"):
        python_modules(["toolz", "python", "toolz"])


def test_lines_and_offsets_agree_with_the_parser() -> None:
    # A form feed ends no line for the parser, though it does for str.splitlines.
    module = Module("p", "m.py", Path("m.py"), "a\n\x0cb\nc")
    assert module.lines == ["a\n", "\x0cb\n", "c"]
    assert [module.text[module.upto(line) :][:1] for line in (1, 2, 3)] == ["a", "\x0c", "c"]
    assert module.upto(4) == len(module.text)
