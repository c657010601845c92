"""Tasks: real prompts and completions from packages that install from the registries."""

from __future__ import annotations

from ebmlm.data.tasks.doctest_answers import DoctestAnswers

__all__ = ["DoctestAnswers"]
