from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from ebmlm.data import TextRow
from ebmlm.errors import UserError
from ebmlm.objectives import CrossEntropy, recipes
from ebmlm.training.preflight import check_objective, check_output, check_space
from tests.training.runs import Rows, tiny_ebft, tiny_policy


def test_a_new_folder_is_made(tmp_path: Path) -> None:
    check_output(tmp_path / "a" / "b", resume=False)
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_nothing_written_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "summary.json").write_text("kept")
    with pytest.raises(UserError, match="not empty"):
        check_output(tmp_path, resume=False)
    check_output(tmp_path, resume=True)
    with pytest.raises(UserError, match="is a file"):
        check_output(tmp_path / "summary.json", resume=True)
    assert (tmp_path / "summary.json").read_text() == "kept"


def test_a_folder_that_cannot_be_written_is_named() -> None:
    # For root too: nothing can be made below /proc.
    with pytest.raises(UserError, match=r"/proc/ebmlm cannot be written"):
        check_output(Path("/proc/ebmlm"), resume=False)


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="No space left on device"):
        check_output(tmp_path, resume=False)
    usage = shutil.disk_usage(tmp_path)
    with pytest.raises(UserError, match="free space"):
        check_space(tmp_path, usage.free + 1_000_000_000_000)
    check_space(tmp_path, 0)


def test_anchors_are_laid_before_training() -> None:
    assert check_objective(tiny_ebft(tiny_policy()), list(Rows().rows)) == 0
    assert check_objective(CrossEntropy(), []) == 0
    long = recipes.ebft(tiny_policy(), horizon=3, stride=4, context=40, samples=3)
    with pytest.raises(UserError, match="context 40 and horizon 3 do not fit"):
        check_objective(long, list(Rows().rows))


def test_text_without_any_valid_anchor_is_refused() -> None:
    def row(index: int, documents: Any) -> TextRow:
        return TextRow(torch.arange(12), documents, index)

    cut = row(0, torch.arange(12))
    with pytest.raises(UserError, match="no valid anchor in any of 1 training sequences"):
        check_objective(tiny_ebft(tiny_policy()), [cut])
    whole = row(1, torch.zeros(12, dtype=torch.long))
    assert check_objective(tiny_ebft(tiny_policy()), [cut, whole]) == 1
