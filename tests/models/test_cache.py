from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import ebmlm
from ebmlm.errors import UserError
from ebmlm.models.cache import cache_folder, publish


def visible(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))


def write_two(folder: Path) -> None:
    (folder / "a").write_text("one")
    (folder / "b").write_text("two")


def test_the_cache_folder_follows_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("EBMLM_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_folder() == tmp_path / ".cache" / "ebmlm"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_folder() == tmp_path / ".cache" / "ebmlm"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "ebmlm"
    monkeypatch.setenv("EBMLM_CACHE", "~/mine")
    assert cache_folder() == tmp_path / "mine"


def test_publishing_makes_the_folder_once(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "model"
    calls = []

    def build(folder: Path) -> None:
        calls.append(folder)
        assert not target.exists()
        write_two(folder)

    assert publish(target, build) == target
    assert publish(target, build) == target
    assert len(calls) == 1
    assert visible(target) == ["a", "b"]
    assert visible(target.parent) == ["model"]


@pytest.mark.parametrize("error", [RuntimeError("midway"), KeyboardInterrupt()])
def test_a_failure_midway_leaves_nothing_and_the_next_try_succeeds(
    tmp_path: Path, error: BaseException
) -> None:
    target = tmp_path / "model"

    def fail(folder: Path) -> None:
        (folder / "a").write_text("one")
        raise error

    with pytest.raises(type(error)):
        publish(target, fail)
    assert visible(tmp_path) == []
    publish(target, write_two)
    assert visible(target) == ["a", "b"]


def test_a_full_disk_is_one_message_that_names_the_folder_and_the_fix(tmp_path: Path) -> None:
    target = tmp_path / "model"

    def fill(folder: Path) -> None:
        (folder / "a").write_text("one")
        raise OSError(errno.ENOSPC, "written by somebody else")

    with pytest.raises(UserError, match=r"No space left on device.*EBMLM_CACHE") as caught:
        publish(target, fill)
    assert str(target) in str(caught.value)
    assert visible(tmp_path) == []


def test_an_error_that_is_not_the_disks_is_not_blamed_on_it(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        raise OSError("cannot understand the file")

    with pytest.raises(OSError, match="cannot understand the file"):
        publish(tmp_path / "model", fail)


def test_too_little_space_is_said_before_building(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"MB free and 1,000,000,000,000 MB are needed"):
        publish(tmp_path / "model", write_two, needed_bytes=10**18)
    assert visible(tmp_path) == []


def test_a_cache_that_cannot_be_made_is_a_user_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match=r"cannot write .*EBMLM_CACHE"):
        publish(tmp_path / "file" / "model", write_two)


def test_of_several_threads_one_builds_and_the_others_wait(tmp_path: Path) -> None:
    target = tmp_path / "model"
    builds, seen = [], []
    together = threading.Barrier(4)

    def build(folder: Path) -> None:
        builds.append(folder)
        (folder / "a").write_text("one")
        time.sleep(0.2)
        (folder / "b").write_text("two")

    def work() -> None:
        together.wait()
        seen.append(visible(publish(target, build)))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(builds) == 1
    assert seen == [["a", "b"]] * 4


SCRIPT = """
import os, sys, time
from pathlib import Path
from ebmlm.models.cache import publish
target, log, seconds = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
def build(folder):
    (folder / "a").write_text("one")
    with log.open("a") as file:
        file.write(f"{os.getpid()}\\n")
    time.sleep(seconds)
    (folder / "b").write_text("two")
publish(target, build)
print(sorted(path.name for path in target.iterdir()))
"""


def start(*arguments: object) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(Path(ebmlm.__file__).parents[1])}
    command = [sys.executable, "-c", SCRIPT, *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def test_of_two_processes_one_builds_and_the_other_waits(tmp_path: Path) -> None:
    processes = [start(tmp_path / "c" / "model", tmp_path / "log", 0.5) for _ in range(2)]
    outputs = [process.communicate()[0].strip() for process in processes]
    assert outputs == ["['a', 'b']"] * 2
    assert len((tmp_path / "log").read_text().split()) == 1


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path: Path) -> None:
    log = tmp_path / "log"
    process = start(tmp_path / "c" / "model", log, 600)
    while not log.exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.communicate()
    assert len(visible(tmp_path / "c")) == 1  # its half-made folder
    publish(tmp_path / "c" / "model", write_two)
    assert visible(tmp_path / "c") == ["model"]
