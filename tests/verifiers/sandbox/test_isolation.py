"""Which isolation is in force is found out and told."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest

from ebmlm.errors import UserError
from ebmlm.verifiers import Namespaces, ProcessOnly, isolation_in_force
from ebmlm.verifiers.sandbox import Sandbox, SandboxFailure
from ebmlm.verifiers.sandbox.isolation import Isolation
from tests.verifiers.conftest import skip_without_namespaces


class Missing(Isolation):
    """Walls that the kernel refuses."""

    @property
    def walls(self) -> tuple[str, str]:
        return "tests.verifiers.sandbox.walls", "RefusedWalls"

    @property
    def contains(self) -> bool:
        return True


class Leaky(Missing):
    """Walls that do not hold."""

    @property
    def walls(self) -> tuple[str, str]:
        return "tests.verifiers.sandbox.walls", "NoWalls"


@pytest.fixture
def import_from_here(monkeypatch):
    """Let keepers find the walls of these tests."""
    import ebmlm.verifiers.sandbox.keeper as keeper

    root = str(keeper._PACKAGE.parent)
    monkeypatch.setattr(keeper, "_ENVIRONMENT", {**keeper._ENVIRONMENT, "PYTHONPATH": root})


def test_namespaces_keep_everything():
    try:
        found = isolation_in_force(Namespaces())
    except UserError as error:
        skip_without_namespaces(error)
    assert not (found.reads_outside or found.writes_outside or found.opens_sockets)
    assert "network namespace" in str(found) and "reads outside: no" in str(found)


def test_weaker_walls_are_logged_as_a_warning(caplog):
    with caplog.at_level(logging.INFO, logger="ebmlm"):
        found = isolation_in_force(ProcessOnly())
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert f"weaker walls of the sandbox: {found}" in caplog.text


def test_what_the_kernel_refuses_is_said_with_a_way_out(import_from_here):
    with pytest.raises(UserError, match=r"unshare: not here.*ProcessOnly\(\)"):
        Sandbox(isolation=Missing())


def test_walls_that_do_not_hold_are_found_out(import_from_here):
    """The trial run reads a file outside, where nothing keeps it from that."""
    with pytest.raises(SandboxFailure, match="do not hold"):
        Sandbox(isolation=Leaky())


def test_the_command_tells_of_both_kinds():
    told = subprocess.run(
        [sys.executable, "-m", "ebmlm.verifiers.sandbox"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Namespaces(): " in told.stdout and "ProcessOnly(): files: " in told.stdout
    assert told.returncode == (0 if "Namespaces(): files: mount namespace" in told.stdout else 2)
