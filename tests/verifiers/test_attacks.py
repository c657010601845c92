"""Every attack is contained, scores zero, and leaves nothing."""

from __future__ import annotations

import ctypes
import dataclasses
import os
import py_compile
import secrets
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ebmlm.errors import UserError
from ebmlm.texts import Attempt
from ebmlm.verifiers import UnitTests
from ebmlm.verifiers.sandbox.inside.tree import ProcessTree
from tests.verifiers.attacks import ATTACKS, READING_THE_SOLUTION
from tests.verifiers.conftest import KINDS, LIMITS, skip_without_namespaces

# docs/sandbox.md says so: only a folder in memory has a size of its own.
NOT_PROMISED_BY_PROCESSES = {"filling the disk (64 MiB)"}
_ELSEWHERE = ["/", "/etc", "/root", "/dev", "/dev/shm", "/tmp", "/var/tmp"]
_MARK = "written-by-an-attack"
_KEY_OF_MEMORY = 0x5EC0_11E7


@dataclasses.dataclass
class World:
    """What attacks are after, outside of the sandbox.

    Attributes:
        folder: that everybody may write to.
        answer: what a test wants to see.
        listeners: that nobody should reach.
        rows: of one task, for both kinds of tests.
        known: what an attack knows, as Python.
    """

    folder: Path
    answer: str
    listeners: list[socket.socket]
    rows: list[dict]
    known: str
    tests: UnitTests
    weaker: bool

    def attempts(self, attack: str) -> list[Attempt]:
        return [Attempt("", f"{self.known}\n{attack}", row) for row in self.rows]

    def processes(self) -> set[int]:
        """Everything below the keepers, and every process of a user that only sandboxes have."""
        tree = ProcessTree()
        keepers = self.tests.sandbox.keepers()
        below = {process for keeper in keepers for process in tree.below(keeper)}
        users = {(1 << 31) - 2 - keeper for keeper in keepers}
        for process in Path("/proc").iterdir():
            try:
                if process.name.isdigit() and process.stat().st_uid in users:
                    below.add(int(process.name))
            except FileNotFoundError:
                continue
        return below

    def shared_memory(self) -> bool:
        """Whether an attack's segment can be found."""
        return ctypes.CDLL(None).shmget(_KEY_OF_MEMORY, 0, 0) >= 0

    def connections(self) -> int:
        """How many reached a listener."""
        reached = 0
        for listener in self.listeners:
            try:
                if listener.type == socket.SOCK_STREAM:
                    listener.accept()[0].close()
                else:
                    listener.recv(1)
                reached += 1
            except BlockingIOError:
                continue
        return reached

    def files(self) -> dict[str, str | None]:
        """What stands in the folder, and what was written elsewhere."""
        found = {
            str(path): path.read_text() if path.is_file() else None
            for path in sorted(self.folder.rglob("*"))
        }
        for folder in [*_ELSEWHERE, os.path.dirname(os.__file__)]:
            if os.path.exists(f"{folder}/{_MARK}"):
                found[folder] = None
        return found


@pytest.fixture(scope="module", params=KINDS)
def world(request, tmp_path_factory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("outside")
    key, mask = secrets.randbits(128), secrets.randbits(128)
    answer = f"answer-{key ^ mask:032x}"
    secret = folder / "secret"
    secret.write_text(answer)
    for path in (folder, *list(folder.parents)[:2]):
        os.chmod(path, 0o777)
    os.chmod(secret, 0o666)

    packages = tmp_path_factory.mktemp("packages")
    packages.chmod(0o755)
    module = packages / "puzzle.py"
    module.write_text(f"def answer():\n    return {answer!r}\n")
    py_compile.compile(str(module))

    listeners = [
        socket.create_server(("127.0.0.1", 0)),
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM),
    ]
    port, place = listeners[0].getsockname()[1], str(folder / "socket")
    listeners[1].bind(("127.0.0.1", port))
    listeners[2].bind(place)
    listeners[2].listen()
    os.chmod(place, 0o777)
    for listener in listeners:
        listener.setblocking(False)

    example: dict = {
        "source": "answer()\n",
        "want": f"{answer!r}\n",
        "options": {},
        "exc_msg": None,
    }
    rows: list[dict] = [
        {
            "prompt": "",
            "entry_point": "answer",
            "test": f"def check(candidate):\n    assert candidate() == {answer!r}\n",
        },
        {
            "module": "puzzle",
            "path": str(module),
            "before": "",
            "after": "",
            "function": "answer",
            "examples": [example],
        },
    ]
    known = "\n".join(
        f"{name} = {value!r}"
        for name, value in {
            "KEY": key,
            "MASK": mask,
            "SECRET": str(secret),
            "PORT": port,
            "UNIX": place,
            "PROCESS": os.getpid(),
            "PARENT": os.getppid(),
            "PLACES": [str(folder), *_ELSEWHERE],
            "MARK": _MARK,
            "KEY_OF_MEMORY": _KEY_OF_MEMORY,
        }.items()
    )
    os.environ["EBMLM_TEST_SECRET"] = answer
    try:
        tests = UnitTests(LIMITS, 2, KINDS[request.param], packages=[packages])
    except UserError as error:
        skip_without_namespaces(error)
    yield World(folder, answer, listeners, rows, known, tests, request.param == "processes")
    tests.close()
    del os.environ["EBMLM_TEST_SECRET"]
    for listener in listeners:
        listener.close()


@pytest.mark.parametrize("name", ATTACKS)
def test_attack_is_contained(world, name):
    before = world.files()
    began = time.monotonic()
    scores = world.tests(world.attempts(ATTACKS[name]))
    promised = not (world.weaker and name in NOT_PROMISED_BY_PROCESSES)
    if world.tests.sandbox.in_force.identity == "this user" and name == "writing outside":
        # Landlock keeps no modes: without root, a run may change those of its own user's files.
        os.chmod(world.folder / "secret", 0o666)
        promised = False
    if promised:
        assert scores == [0.0, 0.0]
    # A hung sandbox would only end with its own patience; the bound is far from a busy machine's.
    assert time.monotonic() - began < LIMITS.wall_seconds + 20
    assert world.processes() == set()
    assert world.files() == before
    assert world.connections() == 0
    assert not world.shared_memory()


def test_attacks_leave_the_sandbox_working(world):
    """And a success of an attack would have been seen: the answer itself solves both rows."""
    assert world.tests(
        world.attempts("def answer():\n    return 'answer-%032x' % (KEY ^ MASK)\n")
    ) == [
        1.0,
        1.0,
    ]


@pytest.mark.parametrize("attack", [*ATTACKS.values(), READING_THE_SOLUTION])
def test_attack_is_valid_python(attack):
    compile(attack, "<attack>", "exec")


def test_the_solution_is_hidden(world):
    """The installed module holds the right answer; weaker walls do not hide it, as they say."""
    scores = world.tests(world.attempts(READING_THE_SOLUTION))
    assert scores == [0.0, 1.0 if world.weaker else 0.0]
