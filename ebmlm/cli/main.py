"""The command ``ebmlm``: picks a subcommand and turns what a user can mend into one message."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Sequence

from ebmlm.errors import UserError

__all__ = ["main"]


def _demo(arguments: Sequence[str]) -> int:
    from ebmlm.cli.demo import demo

    return demo(arguments)


def _train(arguments: Sequence[str]) -> int:
    from ebmlm.cli.train import train

    return train(arguments)


def _evaluate(arguments: Sequence[str]) -> int:
    from ebmlm.cli.evaluate import evaluate

    return evaluate(arguments)


def _compare(arguments: Sequence[str]) -> int:
    from ebmlm.cli.compare import compare

    return compare(arguments)


def _bench(arguments: Sequence[str]) -> int:
    from ebmlm.cli.bench import bench

    return bench(arguments)


def _data(arguments: Sequence[str]) -> int:
    from ebmlm.cli.data import data

    return data(arguments)


def _features(arguments: Sequence[str]) -> int:
    from ebmlm.cli.features import features

    return features(arguments)


def _sample(arguments: Sequence[str]) -> int:
    from ebmlm.cli.sample import sample

    return sample(arguments)


_COMMANDS: dict[str, tuple[Callable[[Sequence[str]], int], str]] = {
    "demo": (_demo, "fine-tune a small language model on this machine and see it get better"),
    "train": (_train, "run a configuration file"),
    "evaluate": (_evaluate, "measure a model or a checkpoint on a configuration's held-out text"),
    "sample": (_sample, "draw from a model, or from a target that an energy makes of it"),
    "compare": (_compare, "train several configurations alike and compare them"),
    "bench": (_bench, "time every pass against its naive twin and against its floor"),
    "features": (_features, "show what a feature map sees of rollouts, as one HTML page"),
    "data": (_data, "show what a task or another source of text holds"),
}


def _usage() -> str:
    lines = ["usage: ebmlm COMMAND [options]", "", "commands:"]
    lines += [f"  {name:10} {text}" for name, (_, text) in _COMMANDS.items()]
    return "\n".join([*lines, "", "`ebmlm COMMAND --help` explains every option."])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand and return its exit status.

    0 for success, 1 for a run that failed (diverged, disk full), 2 for input that a user can mend,
    130 for an interrupt.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] in ("-h", "--help"):
        print(_usage())
        return 0 if given else 2
    if given[0] == "--version":
        from importlib.metadata import version

        print(version("ebmlm"))
        return 0
    name, *rest = given
    if name not in _COMMANDS:
        from ebmlm.data.suggestions import nearest

        print(f"error: no command '{name}'{nearest(name, _COMMANDS)}", file=sys.stderr)
        print(_usage(), file=sys.stderr)
        return 2
    _set_up_process()
    return _run(_COMMANDS[name][0], rest)


def _run(command: Callable[[Sequence[str]], int], arguments: Sequence[str]) -> int:
    try:
        return command(arguments)
    except UserError as error:
        return _said(str(error), 2)
    except KeyboardInterrupt:
        return _said("interrupted; what was written is kept", 130)
    except OSError as error:
        return _said(f"{error}; what was written before is kept", 1)
    except RuntimeError as error:
        from ebmlm.training.diverged import TrainingDiverged

        if not isinstance(error, TrainingDiverged):
            raise
        return _said(str(error), 1)


def _said(message: str, status: int) -> int:
    print(f"error: {message}", file=sys.stderr)
    return status


def _set_up_process() -> None:
    """Settings of the whole process, before torch is first imported."""
    # Threads that wait by spinning make two programs on the same cores many times slower than one
    # after the other; waiting passively costs a few per cent.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    _keep_freed_memory()
    # Libraries' chatter stays off the terminal, unless the user has asked for it.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
    warnings.filterwarnings("ignore", module=r"transformers|torch|jsonargparse|accelerate")


def _keep_freed_memory() -> None:
    """Have the C library keep freed memory for the next pass instead of returning it.

    Activations of tens of megabytes are allocated and freed thousands of times a step; getting
    each from the kernel anew costs up to half of a CPU step. Where the C library is not glibc,
    nothing changes.
    """
    import ctypes
    import platform

    if platform.libc_ver()[0] != "glibc":
        return
    trim_threshold, top_pad, largest_mapped = -1, -2, -4
    library = ctypes.CDLL(None)
    library.mallopt(largest_mapped, 0)
    library.mallopt(trim_threshold, 2**31 - 1)
    library.mallopt(top_pad, 64 * 2**20)


if __name__ == "__main__":
    sys.exit(main())
