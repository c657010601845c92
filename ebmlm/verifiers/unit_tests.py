"""Code is right if its tests pass, in a sandbox."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ebmlm.errors import UserError
from ebmlm.texts import Attempt
from ebmlm.verifiers.assertion_check import AssertionCheck
from ebmlm.verifiers.base import Verifier
from ebmlm.verifiers.checks import Check, chosen
from ebmlm.verifiers.doctest_check import DoctestCheck
from ebmlm.verifiers.sandbox import Isolation, Limits, Sandbox, SandboxFailure

__all__ = ["UnitTests"]

logger = logging.getLogger(__name__)


class UnitTests(Verifier):
    """1 where the tests that a row brings pass, else 0.

    A row with a module's examples is taken by :class:`~ebmlm.verifiers.doctest_check.DoctestCheck`,
    one with a test and an entry point by
    :class:`~ebmlm.verifiers.assertion_check.AssertionCheck`. What the model wrote runs in a
    sandbox; what that promises is in docs/sandbox.md. At construction a trial run is made.

    Args:
        limits: of each run.
        parallel: attempts at a time; as many as there are cores unless given.
        isolation: the sandbox's walls; Linux namespaces unless weaker ones are asked for.
        packages: further folders with modules that the code may import.
        preload: modules that need not be imported anew for each run; none that completions are
            part of.
        checks: what rows may bring; the first that a row has the columns for is taken.

    Raises:
        UserError: if a number makes no sense, or the walls cannot be built here.
    """

    def __init__(
        self,
        limits: Limits | None = None,
        parallel: int | None = None,
        isolation: Isolation | None = None,
        packages: Sequence[str | Path] = (),
        preload: Sequence[str] = (),
        checks: Sequence[Check] | None = None,
    ) -> None:
        if parallel is None:
            parallel = _cores()
        if isinstance(parallel, bool) or not isinstance(parallel, int) or parallel < 1:
            raise UserError(f"parallel is {parallel!r}: give the number of attempts at a time")
        self._parallel = parallel
        self._checks = [DoctestCheck(), AssertionCheck()] if checks is None else list(checks)
        if not self._checks:
            raise UserError("checks is empty: unit tests need one")
        # Kept as they were given, so that configurations compare.
        self.limits = Limits() if limits is None else limits
        self.isolation = isolation
        self.packages, self.preload = tuple(map(str, packages)), tuple(preload)
        self.sandbox = Sandbox(self.limits, isolation, packages, preload)

    def __call__(self, attempts: Sequence[Attempt]) -> list[float]:
        """See :meth:`Verifier.__call__`."""
        checks = [chosen(self._checks, attempt.row) for attempt in attempts]
        with ThreadPoolExecutor(self._parallel) as threads:
            return list(threads.map(self._score, checks, attempts))

    def close(self) -> None:
        """End the sandbox's processes; they are started again when they are needed."""
        self.sandbox.close()

    def _score(self, check: Check, attempt: Attempt) -> float:
        for _ in range(2):
            try:
                return float(check.passes(attempt, self.sandbox))
            except SandboxFailure as error:
                logger.warning("a run in the sandbox failed, trying again: %s", error)
        # Either the sandbox is broken, which this finds out, or the attempt breaks it.
        self.sandbox.try_out()
        logger.warning("an attempt made the sandbox fail twice, while others work: it scores 0")
        return 0.0


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
