"""Small real tokenisers of the kinds that models have, made without any download."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

SPECIAL = ["<unk>", "<s>", "</s>", "<|turn|>", "<|stop|>"]
MERGES = [("Ġ", "Ġ"), ("a", "b"), ("Ġ", "ab"), ("Ġ", "a"), ("b", "c"), ("1", "2"), ("Ċ", "Ċ")]

# Every turn opens and closes with special tokens; white space follows the end.
CHATML = (
    "{% for m in messages %}<|turn|>{{ m['role'] }}\n{{ m['content'] }}<|stop|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|turn|>assistant\n{% endif %}"
)
# Opens with beginning-of-sequence, and nothing special ends a turn.
PLAIN_TURNS = (
    "{{ bos_token }}{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)


def byte_level(start: bool = False, **special: Any) -> PreTrainedTokenizerFast:
    """As GPT-2's: bytes, merges over leading spaces; puts ``<s>`` before texts where ``start``."""
    words = [*SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet()), *map("".join, MERGES)]
    vocabulary = {word: number for number, word in enumerate(words)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=MERGES))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return _finished(tokenizer, start, special)


def metaspace(start: bool = True, **special: Any) -> PreTrainedTokenizerFast:
    """As SentencePiece's: a space is put before a text, and dropped again where it is decoded."""
    letters = [*"▁abc12.", "▁a", "▁ab", "ab", "bc", "12", "▁▁"]
    words = [*SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256)), *letters]
    vocabulary = {word: number for number, word in enumerate(words)}
    merges = [("▁", "▁"), ("a", "b"), ("▁", "ab"), ("▁", "a"), ("b", "c"), ("1", "2")]
    tokenizer = Tokenizer(
        models.BPE(vocab=vocabulary, merges=merges, unk_token="<unk>", byte_fallback=True)
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    return _finished(tokenizer, start, special)


def words(
    start: bool = False,
    known: Sequence[str] = ("yes", "no", "a", "b"),
    unk: bool = True,
    **special: Any,
) -> PreTrainedTokenizerFast:
    """White space between words is lost; unknown words are all one, or lost without ``unk``."""
    vocabulary = {word: number for number, word in enumerate([*SPECIAL, *known])}
    if unk:
        tokenizer = Tokenizer(models.WordLevel(vocab=vocabulary, unk_token="<unk>"))
    else:
        tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"\s+"), "removed")
    return _finished(tokenizer, start, special)


def _finished(
    tokenizer: Tokenizer, start: bool, special: dict[str, Any]
) -> PreTrainedTokenizerFast:
    tokenizer.add_special_tokens([AddedToken(each, special=True) for each in SPECIAL])
    if start:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", 1)]
        )
    template = special.pop("chat_template", None)
    made = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)
    if template is not None:
        made.chat_template = template
    return made


# Names of the kinds, for parametrised tests; all spell SPECIAL with the same numbers.
KINDS: dict[str, PreTrainedTokenizerFast] = {
    "byte-level": byte_level(eos_token="</s>"),
    "byte-level with start": byte_level(start=True, bos_token="<s>", eos_token="</s>"),
    "byte-level, start unused": byte_level(bos_token="<s>", eos_token="</s>"),
    "padding is the end": byte_level(eos_token="</s>", pad_token="</s>"),
    "endless": byte_level(),
    "metaspace": metaspace(bos_token="<s>", eos_token="</s>"),
    "metaspace without start": metaspace(start=False, eos_token="</s>", pad_token="</s>"),
}
START, END = 1, 2
