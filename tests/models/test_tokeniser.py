from __future__ import annotations

import json
from pathlib import Path

import pytest

from ebmlm.models.tokeniser import load_tokeniser, split_digits

from .conftest import tiny_config, tiny_tokeniser

TEXT = "ab  1\n   22"
TOKENS = ["ab", "ĠĠ", "1", "Ċ", "ĠĠ", "Ġ", "2", "2"]


@pytest.mark.parametrize(
    "declared", ["PreTrainedTokenizerFast", "GPT2Tokenizer", "GPT2TokenizerFast"]
)
def test_the_stated_pipeline_is_kept_whatever_class_is_declared(
    tmp_path: Path, declared: str
) -> None:
    tiny_config().save_pretrained(tmp_path)
    tiny_tokeniser(eos_token="<end>").save_pretrained(tmp_path)
    file = tmp_path / "tokenizer_config.json"
    settings = json.loads(file.read_text())
    file.write_text(json.dumps(settings | {"tokenizer_class": declared}))
    tokeniser = load_tokeniser(tmp_path)
    assert tokeniser.tokenize(TEXT) == TOKENS
    assert tokeniser.eos_token == "<end>"
    assert tokeniser.decode(tokeniser(TEXT).input_ids) == TEXT


def test_split_digits_cuts_white_space_from_the_digit_after_it() -> None:
    from tokenizers.pre_tokenizers import ByteLevel

    tokeniser = tiny_tokeniser()
    tokeniser.backend_tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    assert tokeniser.tokenize(TEXT)[1:3] == ["Ġ", "Ġ"]
    split_digits(tokeniser)
    assert tokeniser.tokenize(TEXT) == TOKENS
