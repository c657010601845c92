"""Right is what a test's own function, called with the completed one, finds nothing wrong with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ebmlm.errors import UserError
from ebmlm.texts import Attempt
from ebmlm.verifiers.checks import Check
from ebmlm.verifiers.own_block import own_block
from ebmlm.verifiers.sandbox import Sandbox

__all__ = ["AssertionCheck"]


class AssertionCheck(Check):
    """Tests in the manner of HumanEval: ``check(candidate)``, which raises if something is wrong.

    There are two sandboxes. One holds the completed function and answers calls; the other runs the
    test, and none of the model's code. Arguments and results go between them as plain values
    (:mod:`ebmlm.verifiers.sandbox.inside.values`), so neither the test nor anything it compares
    with is ever where the model's code could read or change it, and an object that claims to equal
    everything does not arrive. A function that must take or return other things cannot be tested
    so. What a call changes in lists, dicts and sets that it was given is changed for the test too.

    Columns: ``prompt``, whose last function the completion completes; ``test``, which defines
    ``check``; ``entry_point``, the function's name. The test may use what the prompt defines.
    """

    @property
    def columns(self) -> Sequence[str]:
        """See :attr:`Check.columns`."""
        return ("prompt", "test", "entry_point")

    def validate(self, row: Mapping[str, Any]) -> None:
        """See :meth:`Check.validate`."""
        for column in self.columns:
            if not isinstance(row[column], str):
                raise UserError(f"column {column!r} is {row[column]!r}: it must be a text")

    def passes(self, attempt: Attempt, sandbox: Sandbox) -> bool:
        """See :meth:`Check.passes`."""
        row = attempt.row
        completion = own_block(row["prompt"], row["entry_point"], attempt.completion)
        source, name = row["prompt"] + completion, row["entry_point"]
        with sandbox.run("candidate") as model:
            model.tell({"source": source, "entry_point": name})
            if (model.hear() or {}).get("ready") is not True:
                return False
            with sandbox.run("checker") as test:
                test.tell({"prompt": row["prompt"], "test": row["test"], "entry_point": name})
                while (said := test.hear()) is not None:
                    if "invalid" in said:
                        raise UserError(f"the test of {name!r} cannot be run: {said['invalid']}")
                    if "call" not in said:
                        return said.get("passed") is True
                    model.tell(said["call"])
                    answer = model.hear()
                    if answer is None:
                        return False
                    test.tell(answer)
        return False
