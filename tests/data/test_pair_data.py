"""Pairs from source to rows, and back to the texts that verifiers see."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from jsonargparse import ArgumentParser

from ebmlm.data import (
    Corpus,
    Division,
    DropLong,
    HashSplit,
    HeldOutSource,
    JsonLinesPairs,
    KeepPromptEnd,
    NearCopies,
    PaddingSide,
    Pair,
    PairData,
    PairRows,
    PairSource,
    PreparedData,
    PromptCompletion,
    TextRow,
    collate,
)
from ebmlm.data.pair_part import item_id
from ebmlm.distribution import Categorical
from ebmlm.errors import UserError
from ebmlm.rollouts import Rollouts
from ebmlm.samplers import AnchorPlacement, CompletionAnchors, PromptEnd
from tests.data.tokenisers import CHATML, END, KINDS, byte_level, words

TOKENISER = KINDS["byte-level with start"]


@dataclass(frozen=True)
class Given(PairSource):
    pairs: Sequence[Pair]

    def read(self) -> Corpus[Pair]:
        return Corpus(self.pairs, {"no completion": 2})


def numbered(count: int, words: int = 1) -> list[Pair]:
    return [
        Pair(f"k{number}", f"q{number}: ", f"a{number} " * words, {"n": number})
        for number in range(count)
    ]


def rows_of(part: Any) -> list[TextRow]:
    return [part[number] for number in range(len(part))]


def items_of(part: Any) -> set[int]:
    return {item for row in rows_of(part) for item in row.documents.tolist()}


PARTS = ("train", "validation", "test")


def test_parts_are_disjoint_and_counted() -> None:
    prepared = PairData(Given(numbered(200)), length=40, validation_rows=None).prepare(TOKENISER)
    parts = {name: items_of(getattr(prepared, name)) for name in PARTS}
    together = set().union(*parts.values())
    assert len(together) == sum(map(len, parts.values())) == 200
    assert together == set(prepared.texts.items)
    summary = json.loads(json.dumps(prepared.summary))
    assert summary["documents"] == {name: len(items) for name, items in parts.items()}
    assert summary["documents"]["train"] > 120
    assert summary["skipped"] == {"no completion": 2}
    assert (summary["duplicates"], summary["repeated"], summary["near_copies"]) == (0, 0, None)
    for name in PARTS:
        rows = rows_of(getattr(prepared, name))
        report = summary[name]
        assert report["rows"] == report["pairs"] == len(rows)
        assert report["tokens"] == sum(map(len, rows))
        targets = [cast(torch.Tensor, row.targets) for row in rows]
        assert report["completion_tokens"] == sum(int(each.sum()) for each in targets)
        assert all(int(row.documents[0]) == row.id for row in rows)


def test_items_hold_texts_and_other_columns() -> None:
    pairs = [
        *numbered(30),
        Pair("clash", "real", " answer", {"prompt": "other", "completion": "other", "x": [1]}),
    ]
    items = PairData(Given(pairs), length=40).prepare(TOKENISER).texts.items
    assert items[item_id(pairs[3])] == {"prompt": "q3: ", "completion": "a3 ", "n": 3}
    assert items[item_id(pairs[-1])] == {"prompt": "real", "completion": " answer", "x": [1]}


def test_item_ids_are_the_same_everywhere() -> None:
    assert item_id(Pair("k", "a", "b")) == item_id(Pair("k", " a ", "b\n", {"x": 1}))
    assert item_id(Pair("k", "a", "b")) == 0x351A4F1B8195B662
    assert item_id(Pair("k", "a", "b")) != item_id(Pair("l", "a", "b"))
    assert all(0 <= item_id(pair) < 2**63 for pair in numbered(50))


def test_few_rows_speak_for_all_pairs_whatever_their_keys() -> None:
    pairs = [Pair(f"k{n % 4}", f"q{n} ", "a", {"n": n}) for n in range(400)]
    split = HeldOutSource(Given([Pair("v", f"v{n} ", "a", {"n": n}) for n in range(100)]))
    data = PairData(Given(pairs), length=30, split=split, train_rows=40, validation_rows=20)
    prepared = data.prepare(TOKENISER)
    assert (len(prepared.train), len(prepared.validation), len(prepared.test)) == (40, 20, 0)
    assert "test" not in prepared.summary
    numbers = [prepared.texts.items[item]["n"] for item in items_of(prepared.train)]
    # Whole keys in their order would leave at most one here; so few of 40 of any quarter come up
    # by chance less than once in 10,000 salts.
    assert min(sum(number % 4 == key for number in numbers) for key in range(4)) >= 2
    assert prepared.summary["train"]["unused"] == 360
    assert len(prepared.texts.items) == 60


def test_fewer_rows_are_the_first_of_more() -> None:
    def train(rows: int | None, packing: bool) -> list[list[int]]:
        data = PairData(Given(numbered(100)), 40, train_rows=rows, packing=packing)
        return [row.sequence.tolist() for row in rows_of(data.prepare(TOKENISER).train)]

    # No pair has more than 12 tokens, so a row that the next one does not fit in has 29 or more.
    assert min(map(len, train(7, True))) >= 29

    assert train(7, False) == train(None, False)[:7]
    few, many = train(7, True), train(None, True)
    assert len(few) == 7
    # A row that is not full yet may take another pair later.
    assert all(more[: len(row)] == row for row, more in zip(few, many, strict=False))


def test_seed_moves_training_pairs_and_not_held_out_ones() -> None:
    first, again, other = (
        PairData(Given(numbered(200)), 40, train_rows=9, validation_rows=5, seed=seed).prepare(
            TOKENISER
        )
        for seed in (0, 0, 1)
    )
    ids = [[row.id for row in rows_of(each.train)] for each in (first, again, other)]
    assert ids[0] == ids[1] != ids[2]
    for part in ("validation", "test"):
        same = [[row.id for row in rows_of(getattr(each, part))] for each in (first, other)]
        assert same[0] == same[1]


def test_packing_is_for_training_alone() -> None:
    plain, packed = (
        PairData(Given(numbered(100)), length=60, packing=packing).prepare(TOKENISER)
        for packing in (False, True)
    )
    assert len(packed.train) < len(plain.train) / 2
    assert max(map(len, rows_of(packed.train))) <= 60
    assert [row.id for row in rows_of(packed.train)] == list(range(len(packed.train)))
    for name in ("pairs", "tokens", "completion_tokens"):
        assert packed.summary["train"][name] == plain.summary["train"][name]
    counts = [int(collate(rows_of(each.train)).target_mask().sum()) for each in (plain, packed)]
    assert counts[0] == counts[1] == plain.summary["train"]["completion_tokens"]
    assert packed.summary["test"] == plain.summary["test"]
    assert len(packed.validation) == packed.summary["validation"]["pairs"]


def test_repeated_pairs_are_taken_once() -> None:
    pairs = numbered(60)
    again = [Pair(pair.key, f" {pair.prompt}", pair.completion, {"n": -1}) for pair in pairs]
    prepared = PairData(Given([*pairs, *again]), 40, validation_rows=None).prepare(TOKENISER)
    assert prepared.summary["repeated"] == 60
    assert sum(prepared.summary["documents"].values()) == 60
    assert all(item["n"] >= 0 for item in prepared.texts.items.values())


def test_near_copies_leave_training_and_are_told() -> None:
    train = [Pair(f"t{n}", f"one two three four x{n}", "end") for n in range(10)]
    train += numbered(5)
    held_out = [Pair("v", "one two three four five", "end"), Pair("w", "quite another text", "x")]
    split = HeldOutSource(Given(held_out))
    data = PairData(Given(train), 60, split=split, near_copies=NearCopies(0.3))
    prepared = data.prepare(TOKENISER)
    assert prepared.summary["near_copies"] == {
        "threshold": 0.3,
        "train": 10,
        "validation": 1,
        "test": 0,
    }
    assert prepared.summary["documents"] == {"train": 5, "validation": 2}
    assert len(prepared.train) == 5
    with pytest.raises(UserError, match=r"none of 10 pairs is left .* near-copies of"):
        PairData(Given(train[:10]), 60, split=split, near_copies=NearCopies(0.3)).prepare(TOKENISER)


class WithUnlike(HashSplit):
    """Training also gets 20 pairs that are like no other."""

    def divide(self, corpus: Corpus[Any]) -> Division[Any]:
        division = super().divide(corpus)
        return dataclasses.replace(division, train=[*division.train, *numbered(20)])


def test_near_copies_are_counted_by_part() -> None:
    prepared = PairData(
        Given([Pair(f"k{n}", "same words in every prompt", f"n{n}") for n in range(100)]),
        60,
        near_copies=NearCopies(1.0, prompts=True),
        split=WithUnlike(0.2, test=0.2),
        validation_rows=None,
    ).prepare(TOKENISER)
    told = prepared.summary["near_copies"]
    held_out = prepared.summary["documents"]
    assert (told["validation"], told["test"]) == (held_out["validation"], held_out["test"])
    assert told["train"] == 100 - held_out["validation"] - held_out["test"] > 0
    assert len(prepared.train) == 20


def test_what_is_cut_is_counted() -> None:
    pairs = [
        Pair("fits", "ab", " ab"),
        Pair("prompt", "x" * 30, " yes"),
        Pair("completion", "x", " y" * 20),
        Pair("both", "x" * 30, " y" * 20),
    ]
    split = HeldOutSource(Given(numbered(3)))
    cut = PairData(Given(pairs), 20, split=split).prepare(TOKENISER)
    report = cut.summary["train"]
    assert (report["prompts_cut"], report["completions_cut"], report["too_long"]) == (2, 2, 0)
    ends = {row.id: int(row.sequence[-1]) == END for row in rows_of(cut.train)}
    assert ends == {item_id(pair): pair.key in ("fits", "prompt") for pair in pairs}
    # A verifier still gets the texts whole.
    assert cut.texts.items[item_id(pairs[3])]["prompt"] == "x" * 30
    assert cut.texts.items[item_id(pairs[3])]["completion"] == " y" * 20
    dropped = PairData(Given(pairs), 20, split=split, truncation=DropLong()).prepare(TOKENISER)
    report = dropped.summary["train"]
    assert (report["prompts_cut"], report["completions_cut"], report["too_long"]) == (0, 0, 3)
    assert (report["pairs"], set(dropped.texts.items) >= {item_id(pairs[0])}) == (1, True)


def test_what_the_tokeniser_does_to_pairs_is_counted() -> None:
    split = HeldOutSource(Given([Pair("v", "b", " a")]))
    pairs = [
        Pair("1", "a", "b"),
        Pair("2", "a", " other"),
        Pair("3", "a", " b b"),
        Pair("4", "", "a"),
    ]
    data = PairData(Given(pairs), 20, split=split)
    report = data.prepare(words()).summary["train"]
    # "ab" has no boundary; a completion of one token after nothing has nothing to be learned.
    assert (report["pairs"], report["no_tokens"], report["altered"]) == (2, 2, 1)
    report = data.prepare(KINDS["byte-level"]).summary["train"]
    assert (report["pairs"], report["no_tokens"], report["altered"]) == (4, 0, 0)
    assert report["straddled"] == 1


def test_part_without_a_row_is_named() -> None:
    split = HeldOutSource(Given(numbered(1, words=40)))
    data = PairData(Given(numbered(9)), 20, split=split, truncation=DropLong())
    with pytest.raises(
        UserError, match="validation pairs: none of 1 is left: 1 are longer than 20"
    ):
        data.prepare(TOKENISER)


CHAT = byte_level(bos_token="<s>", eos_token="<|stop|>", chat_template=CHATML)


def conversations(count: int) -> list[Pair]:
    return [
        Pair(
            f"k{n}",
            [{"role": "user", "content": f"q{n}"}],
            [{"role": "assistant", "content": f"a{n}"}],
        )
        for n in range(count)
    ]


def test_conversations_need_a_template_before_the_work_starts() -> None:
    data = PairData(Given(conversations(40)), split=HashSplit(1e-9))
    with pytest.raises(UserError, match="no chat template"):
        data.prepare(TOKENISER)


def begun_with_references(
    prepared: PreparedData, part: str, anchors: AnchorPlacement, side: PaddingSide
) -> Rollouts:
    """Rollouts that write at each anchor what really stands there."""
    batch = collate(rows_of(getattr(prepared, part)), side)
    places, mask = anchors(batch, 30)
    blank = torch.zeros(*places.shape, 1, 30, dtype=torch.int64)
    rollouts = Rollouts.given(batch, places, mask, blank, Categorical())
    return Rollouts.given(
        batch,
        places,
        mask,
        rollouts.references.unsqueeze(2),
        Categorical(),
        completion_mask=rollouts.reference_mask.unsqueeze(2),
    )


@pytest.mark.parametrize("side", PaddingSide)
@pytest.mark.parametrize("packing", [False, True])
@pytest.mark.parametrize("anchors", [PromptEnd(), CompletionAnchors(3, 0), CompletionAnchors(2, 1)])
@pytest.mark.parametrize("kind", [*KINDS, "chat"])
def test_real_completions_read_as_the_items_say(
    kind: str, anchors: AnchorPlacement, packing: bool, side: PaddingSide
) -> None:
    if kind == "chat":
        source, tokeniser = Given(conversations(30)), CHAT
    else:
        tokeniser = KINDS[kind]
        made = [
            ("a", "b"),
            ("ab ", "ab"),
            ("ab", " ab."),
            ("é\n", "\n語"),
            ("", "ab c"),
            ("1", "2"),
        ]
        source = Given(
            [Pair(f"k{n}{p}", f"{p and n}{p}", f"{c}{n}") for n in range(5) for p, c in made]
        )
    data = PairData(source, 200, HashSplit(0.3), packing=packing)
    prepared = data.prepare(tokeniser)
    assert prepared.summary["train"]["altered"] == 0
    for part in ("train", "validation"):
        rollouts = begun_with_references(prepared, part, anchors, side)
        written = prepared.texts.attempts(rollouts)
        if not isinstance(anchors, CompletionAnchors) or anchors.min_context == 0:
            asked = {attempt.attempt.prompt for attempt in written}
            items = items_of(getattr(prepared, part))
            assert asked == {prepared.texts.items[item]["prompt"] for item in items}
        assert written
        for each in written:
            assert each.attempt.completion == each.attempt.row["completion"]
            assert each.attempt.prompt == each.attempt.row["prompt"]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"length": 1}, "length is 1"),
        ({"train_rows": 0}, "train_rows is 0"),
        ({"validation_rows": -1}, "validation_rows is -1"),
        ({"test_rows": 0}, "test_rows is 0"),
    ],
)
def test_settings_are_checked_when_built(setting: dict[str, int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        PairData(Given([]), **cast(Any, setting))


def parsed(arguments: list[str]) -> PairData:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--config", action="config")
    parser.add_class_arguments(PairData, "data")
    data = parser.instantiate(parser.parse_args(arguments)).data
    assert isinstance(data, PairData)
    return data


def test_configuration_file_builds_it(tmp_path: Path) -> None:
    path = tmp_path / "data.yaml"
    path.write_text(
        """
data:
  source:
    class_path: ebmlm.data.JsonLinesPairs
    init_args:
      path: rows.jsonl
      key_column: file
      convention: {class_path: PromptCompletion, init_args: {prompt: q, completion: a}}
  split:
    class_path: HeldOutSource
    init_args: {source: {class_path: JsonLinesPairs, init_args: {path: held.jsonl}}}
  truncation: {class_path: KeepPromptEnd, init_args: {share: 0.25}}
  near_copies: {threshold: 0.8}
  packing: true
  length: 128
  validation_rows: null
"""
    )
    assert parsed(["--config", str(path)]) == PairData(
        JsonLinesPairs("rows.jsonl", "file", PromptCompletion("q", "a")),
        length=128,
        split=HeldOutSource(JsonLinesPairs("held.jsonl")),
        truncation=KeepPromptEnd(0.25),
        near_copies=NearCopies(0.8),
        packing=True,
        validation_rows=None,
    )


def test_command_line_builds_it() -> None:
    data = parsed(
        [
            "--data.source",
            "HuggingFacePairs",
            "--data.source.path",
            "x",
            "--data.truncation",
            "DropLong",
        ]
    )
    assert data.split == HashSplit(0.1, test=0.1)
    assert data.truncation == DropLong()


def test_lines_to_rows(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"text": f"text {n}"}) + "\n" for n in range(80)))
    prepared = PairData(JsonLinesPairs(str(path)), 20).prepare(TOKENISER)
    assert isinstance(prepared.train, PairRows)
    row = prepared.train[0]
    assert row.targets is not None
    assert row.targets.tolist() == [False] + [True] * (len(row) - 1)
