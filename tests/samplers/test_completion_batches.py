"""Completions do not depend on what shares their batch, nor on what is left out of it."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from ebmlm.samplers import (
    AutoregressiveSampler,
    drawing,
)
from ebmlm.testing import TabularLanguageModel
from tests.helpers import (
    DISTRIBUTIONS,
    VOCABULARY,
    padded,
    pair,
    seeded,
)
from tests.samplers.completions import ENDS, assert_same, draw, pairs, sampler, valid, with_given


def passes_of(model: Any) -> list[tuple[int, ...]]:
    """Shapes of what the body is given from here on."""
    shapes: list[tuple[int, ...]] = []

    def note(_: object, arguments: tuple[object, ...], options: dict[str, Tensor]) -> None:
        shapes.append(tuple(options["input_ids"].shape))

    model.body.register_forward_pre_hook(note, with_kwargs=True)
    return shapes


@pytest.mark.parametrize("name", ["plain", "both"])
@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_leaving_out_what_has_ended_changes_nothing(
    architecture: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looked at after every step, after some, and never."""
    model, _ = pair(architecture, end_tokens=ENDS)
    batch, part = with_given(pairs()), sampler(DISTRIBUTIONS[name], samples=6, horizon=40)
    shapes, drawn, passes = passes_of(model), [], []
    for between in (1, 3, 10_000):
        monkeypatch.setattr(drawing, "_STEPS_BETWEEN", between)
        shapes.clear()
        drawn.append(draw(model, batch, part))
        passes.append(shapes[1:])
    costs = [sum(rows * branches for rows, branches in steps) for steps in passes]
    assert costs[0] < costs[1] < costs[2]
    # Rows go, and branches go within rows.
    assert len({rows for rows, _ in passes[0]}) > 1
    assert len({branches for _, branches in passes[0]}) > 1
    assert set(passes[2]) == {(5, 12)}
    for other in drawn[:2]:
        assert torch.equal(other.completions, drawn[2].completions)
        assert torch.equal(other.completion_mask, drawn[2].completion_mask)
        torch.testing.assert_close(other.log_probs, drawn[2].log_probs, atol=1e-10, rtol=0)


def test_only_what_prompts_need_is_read_once() -> None:
    model, _ = pair(end_tokens=())
    shapes = passes_of(model)
    batch = padded(pairs(), 6, 30)
    draw(model, batch, AutoregressiveSampler(3, 4))
    # Up to the last anchor (15); then a token for each of two anchors' four samples.
    assert shapes == [(5, 15), (5, 8), (5, 8)]


@pytest.mark.parametrize("engine", ["llama", "gpt2", "table"])
def test_draws_do_not_depend_on_the_cut_or_the_padding(engine: str) -> None:
    if engine == "table":
        model: Any = TabularLanguageModel(VOCABULARY, 2, end_tokens=ENDS, generator=seeded(0))
    else:
        model = pair(engine, end_tokens=ENDS)[0]
    batch, part = pairs(), AutoregressiveSampler(20, 3)
    whole = valid(draw(model, batch, part))
    assert len(whole) == 4
    for cut in ([0, 2, 5], [0, 1, 2, 3, 4, 5]):
        pieces = [batch.rows(*edges) for edges in itertools.pairwise(cut)]
        assert_same([item for piece in pieces for item in valid(draw(model, piece, part))], whole)
    for before, after in ((3, 0), (0, 5), (9, 1)):
        assert_same(valid(draw(model, padded(batch, before, after, fill=2), part)), whole)
