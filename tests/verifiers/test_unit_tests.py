"""Unit tests in the sandbox: what is right passes, in order, and bad rows are refused."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ebmlm.errors import UserError
from ebmlm.texts import Attempt
from ebmlm.verifiers import UnitTests
from tests.verifiers.conftest import PATIENT


def row(test: str, prompt: str = "def solve(x):\n") -> dict:
    body = "".join(f"    {line}\n" for line in test.splitlines())
    return {"prompt": prompt, "entry_point": "solve", "test": f"def check(candidate):\n{body}"}


def score(tests: UnitTests, completion: str, test: str, **options) -> float:
    return tests([Attempt("", completion, row(test, **options))])[0]


def doctest_row(folder: Path, **changes) -> dict:
    package = folder / "shapes"
    package.mkdir()
    (package / "__init__.py").write_text("from shapes.area import square\n")
    (package / "units.py").write_text("SCALE = 2\n")
    before = 'from .units import SCALE\n\n\ndef square(x):\n    """Area."""'
    (package / "area.py").write_text(f"{before}\n    return SCALE * x * x\n")
    return {
        "module": "shapes.area",
        "path": str(package / "area.py"),
        "before": before,
        "after": "\n\n\nlater = square(1)\n",
        "function": "square",
        "examples": [example("square(3)\n", "18\n")],
        **changes,
    }


@pytest.fixture
def shapes(tests, tmp_path):
    """A verifier that knows the package of ``doctest_row``, with the walls of ``tests``."""
    tmp_path.chmod(0o755)
    with_package = UnitTests(PATIENT, 1, tests.sandbox.isolation, packages=[tmp_path])
    yield with_package
    with_package.close()


def example(
    source: str, want: str, message: str | None = None, **options: bool
) -> dict[str, object]:
    return {"source": source, "want": want, "options": options, "exc_msg": message}


# ---- tests in the manner of HumanEval


def test_right_and_wrong(tests):
    assert score(tests, "    return x + 1\n", "assert candidate(1) == 2") == 1
    assert score(tests, "    return x\n", "assert candidate(1) == 2") == 0
    assert score(tests, "    return x +\n", "assert candidate(1) == 2") == 0
    assert score(tests, "", "assert candidate(1) == 2") == 0


def test_what_stands_behind_the_function_is_cut(tests):
    assert score(tests, "    return x + 1\n\nIt's done.", "assert candidate(1) == 2") == 1


def test_helpers_of_the_prompt_are_there_for_both(tests):
    prompt = 'SCALE = 3\ndef twice(x):\n    return 2 * x\n\ndef solve(x):\n    """Do."""\n'
    test = "assert candidate(2) == twice(SCALE)"
    assert score(tests, "    return twice(x) + len([SCALE] * 2)\n", test, prompt=prompt) == 1


def test_values_of_all_kinds_arrive_as_they_are(tests):
    test = (
        "value = [1, -2**99, 1.5, float('inf'), 2j, 'é', b'x', None, True, (1,), {1: {2}}]\n"
        "back = candidate(value)\n"
        "assert back == value and [type(x) for x in back] == [type(x) for x in value]"
    )
    assert score(tests, "    return list(x)\n", test) == 1


def test_errors_changes_and_iterators_come_over(tests):
    test = (
        "try:\n    candidate(None)\n"
        "except ValueError as error:\n    assert str(error) == 'none'\n"
        "else:\n    assert False\n"
        "given = [3, 1]\n"
        "result = candidate(given)\n"
        "assert given == [1, 3]\n"
        "assert result != [1, 3] and list(result) == [1, 3]"
    )
    completion = (
        "    if x is None:\n        raise ValueError('none')\n"
        "    x.sort()\n    return (y for y in x)\n"
    )
    assert score(tests, completion, test) == 1


def test_what_is_no_plain_value_fails(tests):
    assert score(tests, "    return object()\n", "candidate(1)") == 0
    assert score(tests, "    return 1\n", "candidate(object())") == 0


def test_a_test_that_catches_everything_does_not_pass_without_its_function(tests):
    test = "try:\n    candidate(1)\nexcept BaseException:\n    pass"
    assert score(tests, "    import os; os._exit(0)\n", test) == 0
    assert score(tests, "    raise KeyError\n", test) == 1


@pytest.mark.parametrize("module", ["numpy", "sympy", "json", "dataclasses"])
def test_benign_modules_can_be_imported(tests, module):
    pytest.importorskip(module)
    code = f"    import {module}\n    return {module}.__name__\n"
    assert score(tests, code, f"assert candidate(1) == {module!r}") == 1


def test_the_working_folder_is_writable_and_empty_in_each_run(tests):
    code = (
        "    import os, tempfile\n    before = os.listdir()\n"
        "    with tempfile.NamedTemporaryFile('w') as file:\n        file.write('x')\n"
        "    with open('kept', 'w') as file:\n        file.write('kept')\n"
        "    return before, open('kept').read()\n"
    )
    for _ in range(2):
        assert score(tests, code, "assert candidate(1) == ([], 'kept')") == 1


def test_the_environment_is_empty(tests, monkeypatch):
    monkeypatch.setenv("EBMLM_TEST_SECRET", "x")
    code = "    import os\n    return sorted(os.environ)\n"
    kept = ["HOME", "LANG", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"]
    kept += ["LC_CTYPE", "PYTHONDONTWRITEBYTECODE", "PYTHONHASHSEED", "TMPDIR"]
    assert score(tests, code, f"assert set(candidate(1)) <= set({kept})") == 1


def test_order_is_kept_and_more_attempts_than_threads_are_taken(tests):
    attempts = [
        Attempt(
            "",
            f"    import time\n    time.sleep({0.05 * (number % 3)})\n    return {number % 2}\n",
            row("assert candidate(1) == 1"),
        )
        for number in range(9)
    ]
    assert tests(attempts) == [float(number % 2) for number in range(9)]
    assert tests([]) == []


# ---- doctests


def test_a_function_is_completed_in_its_module(shapes, tmp_path):
    row = doctest_row(tmp_path)
    attempts = [
        Attempt("", completion, row)
        for completion in (
            "\n    return SCALE * x * x\n\ndef more(:\n",
            "\n    return x * x",
            "\n    print(SCALE * x * x)",
            "\n    return SCALE * x *",
            "\n    raise SystemExit(0)",
        )
    ]
    assert shapes(attempts) == [1, 0, 1, 0, 0]


def test_examples_share_names_and_may_expect_errors(shapes, tmp_path):
    row = doctest_row(
        tmp_path,
        examples=[
            example("y = square(2)\n", ""),
            example("y\n", "8\n"),
            example("print(1,\n      y)\n", "1   8\n", NORMALIZE_WHITESPACE=True),
            example("square('x')\n", "", "TypeError: can't ...\n", ELLIPSIS=True),
            example("square('x')\n", "", "a.TypeError: other\n", IGNORE_EXCEPTION_DETAIL=True),
            example("undefined\n", "never run\n", SKIP=True),
        ],
    )
    assert shapes([Attempt("", "\n    return SCALE * x * x", row)]) == [1]
    row["examples"].append(example("square('x')\n", "", "ValueError: no\n"))
    assert shapes([Attempt("", "\n    return SCALE * x * x", row)]) == [0]


# ---- what is refused


def test_rows_without_tests_are_refused(tests):
    with pytest.raises(UserError, match=r"module, path.* or prompt, test, entry_point"):
        tests([Attempt("", "", {"prompt": "x"})])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"examples": [{"source": "1\n"}]}, "want"),
        ({"examples": [example("1\n", "1\n", NO_SUCH=True)]}, "NO_SUCH"),
        ({"examples": []}, "none that is run"),
        ({"examples": [example("1\n", "1\n", SKIP=True)]}, "none that is run"),
        ({"after": 3}, "after"),
    ],
)
def test_rows_with_unusable_columns_are_refused(tests, tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        tests([Attempt("", "", doctest_row(tmp_path, **changes))])


@pytest.mark.parametrize("test", ["def check(candidate:\n", "x = 1\n"])
def test_tests_that_cannot_be_run_are_refused(tests, test):
    broken = {"prompt": "def solve(x):\n", "entry_point": "solve", "test": test}
    with pytest.raises(UserError, match="solve"):
        tests([Attempt("", "    return 1\n", broken)])
    assert score(tests, "    return 1\n", "assert candidate(0) == 1") == 1


@pytest.mark.parametrize("parallel", [0, -1, True, 1.5])
def test_nonsense_parallelism_is_refused(parallel):
    with pytest.raises(UserError, match="parallel"):
        UnitTests(parallel=parallel)


def test_missing_package_folders_and_modules_are_refused(tests, tmp_path):
    isolation = tests.sandbox.isolation
    with pytest.raises(UserError, match="no folder"):
        UnitTests(isolation=isolation, packages=[tmp_path / "missing"])
    with pytest.raises(UserError, match="no_such_module"):
        UnitTests(isolation=isolation, preload=["no_such_module"])


def test_folders_that_a_run_could_not_read_are_refused(tests, tmp_path):
    identity = tests.sandbox.in_force.identity
    if "of its own" not in identity or not tests.sandbox.isolation.contains:
        pytest.skip("these walls give a run the rights that are needed")
    tmp_path.chmod(0o700)
    with pytest.raises(UserError, match=r"only its owner may read .*chmod"):
        UnitTests(isolation=tests.sandbox.isolation, packages=[tmp_path])


def test_preloaded_modules_are_there(tests):
    preloaded = UnitTests(PATIENT, 1, tests.sandbox.isolation, preload=["fractions"])
    code = "    import sys\n    return 'fractions' in sys.modules\n"
    assert score(preloaded, code, "assert candidate(1)") == 1
    preloaded.close()


# ---- limits and ends


def test_a_higher_limit_is_a_higher_limit(tests):
    code = "    return len(bytearray(700 << 20))\n"
    test = "assert candidate(1) == 700 << 20"
    assert score(tests, code, test) == 0
    large = UnitTests(
        dataclasses.replace(PATIENT, memory_bytes=1 << 30), 1, tests.sandbox.isolation
    )
    assert score(large, code, test) == 1
    large.close()


def test_closing_ends_the_keepers_and_using_starts_them_again(tests):
    own = UnitTests(PATIENT, 1, tests.sandbox.isolation)
    (keeper,) = own.sandbox.keepers()
    own.close()
    with pytest.raises(ProcessLookupError):
        os.kill(keeper, 0)
    assert score(own, "    return 1\n", "assert candidate(0) == 1") == 1
    own.close()


def test_a_keeper_that_was_killed_is_replaced(tests):
    own = UnitTests(PATIENT, 1, tests.sandbox.isolation)
    os.kill(own.sandbox.keepers()[0], signal.SIGKILL)
    assert score(own, "    return 1\n", "assert candidate(0) == 1") == 1
    own.close()


_KILLED = """
import sys, threading
from ebmlm.texts import Attempt
from ebmlm.verifiers import UnitTests
from tests.verifiers.conftest import KINDS
tests = UnitTests(parallel=1, isolation=KINDS[sys.argv[1]])
row = {"prompt": "", "entry_point": "f", "test": "def check(c): pass"}
sleep = "import time\\ntime.sleep(60)\\n"
print(tests.sandbox.keepers()[0], flush=True)
tests([Attempt("", sleep, row)])
"""


def test_nothing_outlives_a_killed_training_run(tests, request):
    kind = request.node.callspec.params["tests"]
    with subprocess.Popen(
        [sys.executable, "-c", _KILLED, kind], stdout=subprocess.PIPE, text=True
    ) as training:
        assert training.stdout is not None
        keeper = int(training.stdout.readline())
        time.sleep(0.3)
        training.kill()
    end = time.monotonic() + 20
    while _lives(keeper):
        assert time.monotonic() < end, "the keeper still lives"
        time.sleep(0.05)


def _lives(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
