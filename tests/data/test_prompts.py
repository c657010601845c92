"""Prompts that a model is to go on from."""

from __future__ import annotations

from pathlib import Path

import pytest

from ebmlm.data.prompts import Prompts, read_prompts
from ebmlm.errors import UserError
from ebmlm.samplers import PromptEnd
from tests.models.conftest import tiny_tokeniser


def test_a_prompt_ends_at_its_anchor() -> None:
    tokeniser = tiny_tokeniser(bos_token="<start>", eos_token="<end>")
    prompts = Prompts.of([{"prompt": "ab"}, {"prompt": "longer one"}, {"prompt": "x"}], tokeniser)
    assert prompts.longest == len(tokeniser("longer one")["input_ids"])
    first, second = prompts.batches(2)
    assert (len(first), len(second)) == (2, 1)
    anchors, mask = PromptEnd()(first, 4)
    assert mask.tolist() == [[True], [True]]
    for row, text in enumerate(("ab", "longer one")):
        before = first.sequences[row, : int(anchors[row, 0])]
        assert tokeniser.decode(before.tolist(), skip_special_tokens=True) == text
    assert second.ids.tolist() == [2]
    assert prompts.texts.items[1]["prompt"] == "longer one"


def test_a_prompt_needs_a_token() -> None:
    with pytest.raises(UserError, match=r"prompt 2 \(''\) has no token"):
        Prompts.of([{"prompt": "a"}, {"prompt": ""}], tiny_tokeniser(eos_token="<end>"))


def test_files_that_are_not_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=r"prompts\.txt"):
        read_prompts(str(path))
