"""The sandboxes that the tests share, and what they are held to afterwards."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ebmlm.errors import UserError
from ebmlm.verifiers import Limits, Namespaces, ProcessOnly, UnitTests

# Short, as attacks that only waste time take all of it; but others share the machine.
LIMITS = Limits(wall_seconds=2.0, cpu_seconds=1, memory_bytes=1 << 29)
# Long, as others share the machine: nothing that should pass takes a second by itself.
PATIENT = Limits(wall_seconds=40.0, cpu_seconds=20, memory_bytes=1 << 29)
KINDS = {"namespaces": Namespaces(), "processes": ProcessOnly()}


def skip_without_namespaces(error: UserError) -> None:
    """Skip where the kernel gives no namespaces; anything else that is refused is a failure."""
    if "unshare" not in str(error):
        raise error
    pytest.skip(str(error))


@pytest.fixture(scope="module", params=KINDS)
def tests(request) -> Iterator[UnitTests]:
    """Unit tests of either kind of walls, where they can be built."""
    try:
        tests = UnitTests(PATIENT, parallel=2, isolation=KINDS[request.param])
    except UserError as error:
        skip_without_namespaces(error)
    yield tests
    tests.close()
