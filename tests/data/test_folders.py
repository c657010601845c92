from __future__ import annotations

from pathlib import Path

from ebmlm.data.folders import files_under, is_hidden


def test_files_are_sorted_and_left_out_folders_not_entered(tmp_path: Path) -> None:
    for name in ("b.txt", "a/z.txt", "a/.secret", ".git/config", "a-b/c.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("x")
    found, left_out = files_under(tmp_path, is_hidden)
    assert found == ["a-b/c.txt", "a/z.txt", "b.txt"]
    assert left_out == 2


def test_loop_of_links_ends(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.txt").write_text("x")
    (tmp_path / "a" / "loop").symlink_to(tmp_path, target_is_directory=True)
    assert files_under(tmp_path, is_hidden)[0] == ["a/x.txt"]
