"""The packages that our code tasks are made from, by the names that Python imports them by."""

from __future__ import annotations

from ebmlm.data.tasks.packages import PYTHON

__all__ = ["PACKAGES"]

PACKAGES = (
    "sympy",
    "numpy",
    "networkx",
    "more_itertools",
    "boltons",
    "toolz",
    "pydash",
    "sortedcontainers",
    "algorithms",
    PYTHON,
)
"""Those of them that are installed are what a code task reads if no packages are named."""
