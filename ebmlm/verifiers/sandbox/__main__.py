"""``python -m ebmlm.verifiers.sandbox``: which isolation is in force on this machine?"""

from __future__ import annotations

import sys

from ebmlm.errors import UserError
from ebmlm.verifiers.sandbox import Isolation, Namespaces, ProcessOnly, isolation_in_force


def main() -> int:
    """Print one line for each kind of walls, and return 0 if the strong ones can be built."""
    kinds: list[Isolation] = [Namespaces(), ProcessOnly()]
    codes = []
    for isolation in kinds:
        try:
            print(f"{isolation}: {isolation_in_force(isolation)}")
            codes.append(0)
        except (UserError, RuntimeError) as error:
            print(f"{isolation}: {error}")
            codes.append(2)
    return codes[0]


if __name__ == "__main__":
    sys.exit(main())
