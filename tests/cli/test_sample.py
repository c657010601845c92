"""The command that draws: from a model, from targets, and what it refuses."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from ebmlm.cli.main import main
from tests.cli.test_cli import config, option, refused  # noqa: F401
from tests.models.conftest import model_folder  # noqa: F401

HAS_A = ["--energy", "Verified", "--energy.verifier", "RegularExpression"]
HAS_A += ["--energy.verifier.pattern", "[a-m]+", "--energy.weight", "3"]
ONLY_A = ["--energy", "Constraint", "--energy.verifier", "RegularExpression"]
ONLY_A += ["--energy.verifier.pattern", "[a-m]+"]
NEVER = ["--energy", "Constraint", "--energy.verifier", "ExactMatch"]
NEVER += ["--energy.verifier.column", "prompt"]


@pytest.fixture
def plain(model_folder: Path) -> list[str]:  # noqa: F811
    return ["sample", "--model", str(model_folder), "--horizon", "6", "--precision", "float32"]


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_model_completes_prompts(
    plain: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "draws.jsonl"
    given = [*plain, "--prompt", "one two", "--prompt", "three", "--samples", "3"]
    assert main([*given, "--output", str(output)]) == 0
    found = lines(output)
    assert [(one["id"], one["sample"]) for one in found] == [
        (prompt, number) for prompt in (0, 1) for number in range(3)
    ]
    assert [one["prompt"] for one in found] == ["one two"] * 3 + ["three"] * 3
    for one in found:
        assert 1 <= one["tokens"] <= 6
        assert one["log_prob"] < 0
        assert one["energy"] is None and one["diagnostics"] == {} and not one["ruled_out"]
    told = capsys.readouterr().out
    tokens = sum(one["tokens"] for one in found)
    assert f"6 completions from {tokens} tokens drawn" in told
    assert list(tmp_path.glob("*.partial")) == []

    message = refused([*given, "--output", str(output)], capsys)
    assert "exists" in message and "--overwrite" in message
    assert main([*given, "--output", str(output), "--overwrite", "--batch_size", "1"]) == 0
    again = lines(output)
    assert [one["completion"] for one in again] == [one["completion"] for one in found]
    assert main([*given, "--output", str(output), "--overwrite", "--seed", "1"]) == 0
    assert [one["completion"] for one in lines(output)] != [one["completion"] for one in found]


def test_an_empty_prompt_is_the_beginning_of_a_text(plain: list[str], tmp_path: Path) -> None:
    """Where the tokeniser has a token for it."""
    output = tmp_path / "draws.jsonl"
    assert main([*plain, "--prompt", "", "--output", str(output)]) == 0
    assert [one["prompt"] for one in lines(output)] == [""] * 4


def test_greedy_draws_are_all_the_same(plain: list[str], tmp_path: Path) -> None:
    output = tmp_path / "draws.jsonl"
    given = [*plain, "--prompt", "one", "--distribution", "Greedy", "--output", str(output)]
    assert main(given) == 0
    assert len({one["completion"] for one in lines(output)}) == 1


@pytest.mark.parametrize(
    ("sampler", "diagnostics"),
    [
        (option(), {"log_partition", "log_partition_low", "log_partition_high"}),
        (option("--sampler", "QuasiRejection", "--sampler.rounds", "4"), {"acceptance"}),
        (option("--sampler", "MetropolisHastings", "--sampler.steps", "4"), {"r_hat", "moved"}),
        (option("--sampler", "SequentialMonteCarlo", "--sampler.block", "2"), {"ancestors"}),
        (option("--sampler", "BestOfN"), {"best_energy"}),
    ],
    ids=["importance", "rejection", "chains", "particles", "best"],
)
def test_targets_are_drawn_from(
    plain: list[str],
    sampler: list[str],
    diagnostics: set[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = tmp_path / "draws.jsonl"
    given = [*plain, "--prompt", "one two", *HAS_A, *sampler, "--candidates", "8"]
    assert main([*given, "--samples", "2", "--output", str(output)]) == 0
    found = lines(output)
    assert len(found) == 2
    for one in found:
        assert one["energy"] in (0, -3)
        assert (one["energy"] == -3) == any(
            letter in one["completion"] for letter in "abcdefghijklm"
        )
        assert diagnostics <= one["diagnostics"].keys()
    told = capsys.readouterr().out
    assert "of 1 prompts" in told
    if "acceptance" in diagnostics:
        assert 0 <= found[0]["diagnostics"]["acceptance"] <= 1
    if "log_partition_low" in diagnostics:
        low, middle, high = (
            found[0]["diagnostics"][f"log_partition{end}"] for end in ("_low", "", "_high")
        )
        assert low < middle < high
        assert "log Z (nats)" in told


def test_what_is_ruled_out_is_told(
    plain: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "draws.jsonl"
    given = [*plain, "--prompt", "one", *NEVER, "--candidates", "2", "--samples", "2"]
    assert main([*given, "--output", str(output)]) == 0
    assert "note: at 1 of 1 prompts the energy does not allow all" in _flat(capsys)
    for one in lines(output):
        assert one["ruled_out"] and one["energy"] is None
        assert one["diagnostics"]["log_partition"] is None
        assert one["diagnostics"]["ruled_out"] == 2
    given = [*plain, "--prompt", "one", *ONLY_A, "--candidates", "64", "--samples", "4"]
    assert main([*given, "--output", str(output), "--overwrite"]) == 0
    assert "does not allow" not in _flat(capsys)
    for one in lines(output):
        assert one["energy"] == 0 and not one["ruled_out"]


def test_an_energy_that_chose_nothing_is_told(
    plain: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--prompt", "a", "--energy", "Verified", "--energy.verifier", "RegularExpression"]
    assert main([*plain, *given, "--energy.verifier.pattern", "not in here at all"]) == 0
    assert "note: at 1 of 1 prompts all candidates have the same energy" in _flat(capsys)


def _flat(capsys: pytest.CaptureFixture[str]) -> str:
    return " ".join(capsys.readouterr().out.split())


def test_prompts_come_from_files(
    plain: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "draws.jsonl"
    given = [*plain, "--samples", "1", "--overwrite", "--output", str(output)]
    text = tmp_path / "prompts.txt"
    text.write_text("first line\n\nsecond line\n")
    assert main([*given, "--prompts", str(text)]) == 0
    assert [one["prompt"] for one in lines(output)] == ["first line", "second line"]
    rows = tmp_path / "prompts.jsonl"
    rows.write_text('{"prompt": "two\\nlines", "completion": "and a half"}\n{"prompt": "b"}\n')
    energy = ["--energy", "Verified", "--energy.verifier", "ExactMatch"]
    assert main([*given, "--prompts", str(rows), *energy[:0]]) == 0
    assert [one["prompt"] for one in lines(output)] == ["two\nlines", "b"]
    message = refused([*given, "--prompts", str(rows), *energy], capsys)
    assert "completion" in message


def test_prompts_come_from_held_out_rows(config: Path, tmp_path: Path) -> None:  # noqa: F811
    output = tmp_path / "draws.jsonl"
    given = ["sample", str(config), "--rows", "2", "--context", "12", "--samples", "2"]
    assert main([*given, "--horizon", "4", *HAS_A, "--output", str(output)]) == 0
    found = lines(output)
    assert len(found) == 4
    assert all(len(one["prompt"]) <= 12 for one in found)
    assert not (tmp_path / "run").exists()


def test_prompts_come_from_pairs(model_folder: Path, tmp_path: Path) -> None:  # noqa: F811
    rows = tmp_path / "pairs.jsonl"
    pairs = [{"prompt": f"question {n}:", "completion": f" answer {n}"} for n in range(20)]
    rows.write_text("".join(f"{json.dumps(pair)}\n" for pair in pairs))
    path = tmp_path / "pairs.yaml"
    path.write_text(
        f"model: {model_folder}\n"
        "data:\n  class_path: PairData\n  init_args:\n    length: 48\n    source:\n"
        f"      class_path: JsonLinesPairs\n      init_args:\n        path: {rows}\n"
        "    split:\n      class_path: HashSplit\n      init_args:\n        validation: 0.4\n"
    )
    output = tmp_path / "draws.jsonl"
    energy = ["--energy", "Verified", "--energy.verifier", "ExactMatch"]
    given = ["sample", str(path), "--rows", "3", "--horizon", "4", "--samples", "1", *energy]
    assert main([*given, "--output", str(output)]) == 0
    found = lines(output)
    assert len(found) == 3
    assert {one["prompt"] for one in found} <= {pair["prompt"] for pair in pairs}
    assert all(math.isfinite(one["energy"]) for one in found)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (option(), ["no prompt", "--prompt TEXT", "--prompts FILE"]),
        (option("--prompt", "x", "--prompts", "some.txt"), ["--prompt and --prompts", "take one"]),
        (option("--prompts", "/nowhere.txt"), ["/nowhere.txt", "no such file"]),
        (option("--prompt", "word " * 20), ["longest prompt has", "64"]),
        (option("--prompt", "x", "--samples", "0"), ["--samples is 0"]),
        (option("--prompt", "x", "--horizon", "0"), ["--horizon is 0"]),
        (option("--prompt", "x", "--sample", "3"), ["sample", "did you mean 'samples'"]),
        (option("--prompt", "x", "--sampler", "BestOfN"), ["no energy", "--energy"]),
        (option("--prompt", "x", "--output", "/nowhere/x.jsonl"), ["/nowhere", "no folder"]),
        (option("--prompt", "x", "--output"), ["--output needs the name"]),
        (option("--prompt", "x", "--model", "./nowhere"), ["nowhere"]),
        (option("--prompt", "x", *HAS_A, "--temperature", "0"), ["temperature is 0", "above 0"]),
        (option("--prompt", "x", *HAS_A, "--distribution", "Greedy"), ["greedy"]),
        (
            option("--prompt", "x", *HAS_A, "--sampler", "BestOfN", "--candidates", "2"),
            ["samples is 4", "the 2"],
        ),
        (
            option("--prompt", "x", *HAS_A, "--sampler", "BestOfN", "--sampler.samples", "3"),
            ["sampler.samples is 3", "--samples 3"],
        ),
    ],
)
def test_bad_options_end_with_one_message(
    plain: list[str], options: list[str], words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    message = refused([*plain, *options], capsys)
    for word in words:
        assert word in message, message


def test_empty_files_are_refused(
    plain: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, content in (("empty.txt", "\n \n"), ("empty.jsonl", ""), ("null.jsonl", "{}")):
        path = tmp_path / name
        path.write_text(content)
        message = refused([*plain, "--prompts", str(path)], capsys)
        assert (name in message and "prompt" in message) or "empty" in message
    message = refused([*plain, "--prompts", str(tmp_path / "missing.jsonl")], capsys)
    assert "missing.jsonl does not exist" in message
