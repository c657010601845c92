"""Configuration parsing: jsonargparse, with a hint where an option does not exist."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from jsonargparse import ArgumentParser

from ebmlm.data.suggestions import nearest
from ebmlm.errors import UserError

__all__ = ["ConfigParser", "parts", "pipeline_from"]

_UNKNOWN = (
    re.compile(r"[Oo]ption '([\w.]+)' is not accepted"),
    re.compile(r"[Uu]nrecognized arguments?: --([\w.]+)"),
    re.compile(r"[Kk]ey '([\w.]+)' is not expected"),
    re.compile(r"does not accept option '([\w.]+)'"),
    re.compile(r"does not accept nested key '([\w.]+)'"),
)


class ConfigParser(ArgumentParser):
    """An argument parser that names the nearest option for one that does not exist."""

    def error(self, message: str, *details: Any) -> NoReturn:
        """Raise what went wrong as one message.

        Raises:
            UserError: always.
        """
        text = " ".join(str(message).split())
        for pattern in _UNKNOWN:
            if found := pattern.search(text):
                name = found.group(1)
                raise UserError(
                    f"no option '{name}'{nearest(name.rsplit('.')[-1], set(self._names()))};"
                    f" `{self.prog} --help` lists them"
                )
        raise UserError(text)

    def _names(self) -> Iterator[str]:
        """The last parts of all option names, those of the parts that come with us included."""
        from ebmlm import recipes

        for action in self._actions:
            yield from action.dest.split(".")
        for module in (*parts(), recipes):
            for name in module.__all__:
                if callable(part := getattr(module, name)):
                    yield from inspect.signature(part).parameters


def parts() -> tuple[ModuleType, ...]:
    """The packages whose classes a configuration may name without their path."""
    from ebmlm import (
        data,
        distribution,
        divergences,
        estimators,
        evaluation,
        features,
        samplers,
        targets,
        verifiers,
    )
    from ebmlm.data import tasks

    return (
        *(data, tasks, distribution, features, samplers, estimators, verifiers, evaluation),
        *(divergences, targets),
    )


def pipeline_from(parser: ConfigParser, arguments: Sequence[str]) -> Any:
    """Parse ``[CONFIG.yaml] [--key value ...]`` and build what it describes.

    Returns:
        The namespace with every part built.

    Raises:
        UserError: for a file that is not there or cannot be parsed, an option that does not exist,
            or a value out of range.
    """
    given = list(arguments)
    if given and not given[0].startswith("-"):
        path = Path(given[0])
        if not path.is_file():
            raise UserError(f"{path}: no such configuration file; give the path of a YAML file")
        given[0:1] = ["--config", str(path)]
    try:
        return parser.instantiate(parser.parse_args(given))
    except UnicodeDecodeError as error:
        raise UserError(f"{given[1]} is not UTF-8 text ({error}); save it as UTF-8") from error
    except ValueError as error:
        if isinstance(error, UserError):
            raise
        raise UserError(" ".join(str(error).split())) from error
