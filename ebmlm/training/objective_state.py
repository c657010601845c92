"""What an objective remembers from step to step, in a checkpoint's folder."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from ebmlm.errors import UserError
from ebmlm.objectives.base import Objective
from ebmlm.state import gather_state, restore_state, stateful_parts

__all__ = ["keep", "restore"]

_FILE = "objective.safetensors"


def keep(objective: Objective, folder: Path) -> None:
    """Write the state of the objective's stateful parts into ``folder``; nothing where none is."""
    if not stateful_parts(objective):
        return
    partial = folder / f"{_FILE}.partial"
    save_file(gather_state(objective), partial)
    partial.replace(folder / _FILE)


def restore(objective: Objective, folder: Path) -> None:
    """Read what :func:`keep` wrote; of an objective without stateful parts there is nothing.

    Raises:
        UserError: if the file is missing, damaged, or belongs to another objective.
    """
    file = folder / _FILE
    if not file.is_file():
        if parts := stateful_parts(objective):
            raise UserError(
                f"{folder} has no {_FILE} and this objective keeps a state ({', '.join(parts)}):"
                " resume with the configuration that the run was started with"
            )
        return
    try:
        state = load_file(file)
    except (SafetensorError, OSError) as error:
        raise UserError(
            f"{file} cannot be read ({error}): the checkpoint is damaged; resume from an older one"
        ) from error
    restore_state(objective, state)
