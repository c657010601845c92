"""What README.md and docs/ show works: Python runs, YAML parses, commands have their options."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
import torch

import ebmlm
from ebmlm.cli.bench import bench
from ebmlm.cli.compare import compare
from ebmlm.cli.data import data
from ebmlm.cli.demo import demo
from ebmlm.cli.evaluate import evaluate
from ebmlm.cli.features import features
from ebmlm.cli.parsing import pipeline_from
from ebmlm.cli.sample import sample
from ebmlm.cli.train import train, training_parser
from ebmlm.data import StandardLibrary
from ebmlm.energies import FeatureMatchingEnergy
from ebmlm.estimators import RLOO
from ebmlm.objectives import PolicyObjective
from ebmlm.testing import TabularLanguageModel
from ebmlm.testing.tiny import tiny_encoder
from ebmlm.texts import Texts
from ebmlm.training import Pipeline

from .models.conftest import tiny_model, tiny_tokeniser

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md"))]
COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    "demo": demo,
    "train": train,
    "evaluate": evaluate,
    "bench": bench,
    "compare": compare,
    "data": data,
    "features": features,
    "sample": sample,
}


def blocks(page: Path, language: str) -> list[str]:
    text = page.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def named(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def expanded(pattern: str) -> list[str]:
    """What a shell makes of a pattern: the files that match, or the pattern itself."""
    files = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob(pattern))
    return files or [pattern]


def command_lines() -> list[Any]:
    found = []
    for page in PAGES:
        lines = "\n".join(blocks(page, "bash")).replace("\\\n", " ").splitlines()
        for line in lines:
            for command in re.split(r"&&|\bebmlm\.cli\.main\b", line):
                words = [
                    path
                    for word in shlex.split(command, comments=True)
                    for path in (expanded(word) if "*" in word else [word])
                ]
                if words and "accelerate" in line and words[0] in COMMANDS:
                    words = ["ebmlm", *words]
                usage = "[--key" in words
                if words and words[0] == "ebmlm" and not usage:
                    found.append(pytest.param(words[1:], id=f"{named(page)}: {' '.join(words)}"))
    return found


class Reached(Exception):
    """A command has understood its arguments and begins its work."""


@pytest.fixture
def no_models(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Every model is a tiny one, and no pipeline runs."""

    def load(name: str = "smollm2-135m") -> tuple[ebmlm.TransformersLanguageModel, Any]:
        model = tiny_model(hidden_size=96, num_attention_heads=2, max_position_embeddings=512)
        tokeniser = tiny_tokeniser(eos_token="<end>", pad_token="<end>")
        return ebmlm.TransformersLanguageModel(model.requires_grad_(True)), tokeniser

    def idle(self: Pipeline, console: object) -> None:
        pass

    monkeypatch.setattr(ebmlm, "load", load)
    monkeypatch.setattr("ebmlm.models.load_encoder", lambda name: tiny_encoder())
    monkeypatch.setattr(Pipeline, "run", idle)
    monkeypatch.chdir(tmp_path)


def run(page: Path) -> dict[str, Any]:
    """Run a page's Python from top to bottom, as somebody who types it all in."""
    namespace: dict[str, Any] = {"__name__": "page"}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for number, block in enumerate(blocks(page, "python"), start=1):
            exec(compile(block, f"{named(page)}, block {number}", "exec"), namespace)
    return namespace


@pytest.mark.usefixtures("no_models")
@pytest.mark.parametrize("page", [page for page in PAGES[1:] if blocks(page, "python")], ids=named)
def test_python_runs(page: Path) -> None:
    run(page)


def test_ten_lines_are_ten_lines() -> None:
    method = blocks(README, "python")[1]
    assert len([line for line in method.splitlines() if line.strip()]) == 10


@pytest.mark.usefixtures("no_models")
def test_readme_trains_and_its_yaml_says_the_same(tmp_path: Path) -> None:
    before = ebmlm.load()[0].model.state_dict()
    shown = run(README)
    after = shown["policy"].model.state_dict()
    assert any(not torch.equal(after[name], before[name]) for name in before)

    (text,) = blocks(README, "yaml")
    path = tmp_path / "readme.yaml"
    path.write_text(text, encoding="utf-8")
    configured = pipeline_from(training_parser("ebmlm train", "a test"), [str(path)])
    data, training = configured.data, configured.training
    assert (type(data.source), data.length, data.train_rows) == (
        StandardLibrary,
        shown["text"].train.length,
        len(shown["text"].train),
    )
    assert training.steps == len(shown["batches"])
    assert training.batch_size == shown["batches"].batch_size
    assert training.learning_rate == shown["optimiser"].defaults["lr"]

    ours, theirs = shown["objective"], configured.objective(ebmlm.load()[0], None)
    assert described(ours) == described(theirs)


def described(objective: Any) -> dict[str, Any]:
    assert isinstance(objective, PolicyObjective)
    energy, estimator = objective.energy, objective.estimator
    assert isinstance(energy, FeatureMatchingEnergy)
    assert isinstance(estimator, RLOO)
    features = energy.features
    assert isinstance(features, ebmlm.HiddenStateFeatures)
    sampler = objective.sampler
    return {
        "anchors": sampler.anchors,
        "sampler": (sampler.horizon, sampler.samples, sampler.distribution),
        "layers": features.layers,
        "features": (type(features.pooling), type(features.normalisation), features.apart),
        "energy": (energy.alignment, energy.diversity, energy.similarity),
        "whitening": type(energy.whitening),
        "credit": estimator.credit,
        "cross_entropy": objective.cross_entropy,
        "reference": objective.reference,
    }


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(text, id=f"{named(page)} {number}")
        for page in PAGES
        for number, text in enumerate(blocks(page, "yaml"), start=1)
    ],
)
def test_yaml_is_a_run(text: str, tmp_path: Path) -> None:
    path = tmp_path / "shown.yaml"
    path.write_text(text, encoding="utf-8")
    namespace = pipeline_from(training_parser("ebmlm train", "a test"), [str(path)])
    namespace.objective(
        TabularLanguageModel(3, 2, layers=30, hidden=256), Texts(cast(Any, None), {})
    )


@pytest.mark.parametrize("words", command_lines())
def test_commands_understand_what_is_shown(
    words: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def reached(*args: object, **kwargs: object) -> None:
        raise Reached

    monkeypatch.setattr(Pipeline, "run", reached)
    monkeypatch.setattr("ebmlm.comparison.Comparison.run", reached)
    monkeypatch.setattr("ebmlm.models.load_pretrained", reached)
    monkeypatch.setattr("ebmlm.cli.data._shown", reached)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda **options: True)
    command, *arguments = words
    monkeypatch.chdir(ROOT)
    with pytest.raises((Reached, SystemExit)) as stopped:
        COMMANDS[command](arguments)
    if isinstance(stopped.value, SystemExit):
        assert stopped.value.code in (0, None)


def test_options_named_in_the_text_exist(capsys: pytest.CaptureFixture[str]) -> None:
    helps = [(command, ["--help"]) for command in COMMANDS.values()]
    for command, options in [*helps, (train, ["--data.help", "TextData"])]:
        with pytest.raises(SystemExit):
            command(options)
    known = set(re.findall(r"--[\w.-]+", capsys.readouterr().out))
    shown = {
        (named(page), option)
        for page in PAGES
        for option in re.findall(r"`(?:ebmlm \w+ )?(--[\w.-]+)[^`]*`", page.read_text("utf-8"))
    }
    assert len(shown) >= 5
    assert {(page, option) for page, option in shown if option not in known} == set()


def test_docstrings_cite_what_is_there() -> None:
    """``docs/PAGE.md, eq. N`` and ``docs/PAGE.md, "Heading"`` in the package exist."""
    cited = 0
    for source in sorted((ROOT / "ebmlm").rglob("*.py")):
        text = re.sub(r"\s+", " ", source.read_text(encoding="utf-8"))
        for page, equations, heading in re.findall(
            r"(docs/\w+\.md)(?:, eq\. (\d+(?:(?: to | and )\d+)?)|, \"([^\"]+)\")?", text
        ):
            shown = (ROOT / page).read_text(encoding="utf-8")
            for number in re.findall(r"\d+", equations):
                assert f'<a id="eq-{number}"></a>' in shown, f"{source.name}: {page}, eq. {number}"
                assert f"\n({number}) " in shown
            if heading:
                assert re.search(rf"^#+ {re.escape(heading)}$", shown, re.MULTILINE), heading
            cited += 1
    assert cited >= 10


def test_every_public_module_has_its_place_in_the_api() -> None:
    package = ROOT / "ebmlm"
    modules = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in package.rglob("*.py")
        if path.stem != "__main__"
    }
    shown: list[str] = []
    for page in (ROOT / "docs" / "api").glob("*.md"):
        shown += re.findall(r"^::: (\S+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(shown) == sorted(modules)
