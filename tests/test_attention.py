"""The three attentions over a tree against dense attention, and their place in a model."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from ebmlm import attention
from ebmlm.attention import TreePass, TrunkPass, attending, install
from ebmlm.branch_steps import BranchSteps
from ebmlm.flex import FlexTreePass
from ebmlm.layout import Prefixes, PrefixTree, Trunk
from ebmlm.rollouts import Rollouts
from ebmlm.testing.strategies import rollouts
from ebmlm.transformers_model import TransformersLanguageModel
from tests.helpers import (
    CONFIGURATIONS,
    branches,
    document_start,
    draw,
    packed_batch,
    raw_model,
    seeded,
    visible,
)

HEADS, KEY_HEADS, WIDTH, VALUE_WIDTH, SCALE = 4, 2, 3, 5, 0.7
LAYER = nn.Identity()


def states(drawn: Rollouts, nodes: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = seeded(nodes)
    sizes = ((HEADS, WIDTH), (KEY_HEADS, WIDTH), (KEY_HEADS, VALUE_WIDTH))
    query, key, value = (
        torch.randn(len(drawn.batch), heads, nodes, width, generator=generator).double()
        for heads, width in sizes
    )
    return query, key, value


def dense(
    query: Tensor, key: Tensor, value: Tensor, row: int, node: int, seen: list[int]
) -> Tensor:
    """Attention output (head, width) of one node over the nodes it sees."""
    outputs = []
    for head in range(HEADS):
        key_head = head * KEY_HEADS // HEADS
        scores = key[row, key_head, seen] @ query[row, head, node] * SCALE
        outputs.append(scores.softmax(0) @ value[row, key_head, seen])
    return torch.stack(outputs)


def seen_by_branches(drawn: Rollouts) -> dict[tuple[int, int], list[int]]:
    """Nodes that each live branch token (row, node) sees: its prefix, and its branch so far."""
    length = drawn.sequences.shape[1]
    _, _, samples, horizon = drawn.completions.shape
    found = {}
    for row, place, sample, tokens in branches(drawn):
        prefix = list(visible(drawn.batch, row, int(drawn.anchors[row, place])))
        first = length + (place * samples + sample) * horizon
        for step in range(len(tokens)):
            found[row, first + step] = prefix + list(range(first, first + step + 1))
    return found


@given(rollouts())
def test_flex_tree_pass_equals_the_chunked_one(drawn: Rollouts) -> None:
    """Where tokens are real; what padding and invalid anchors hold is nobody's business."""
    tree = PrefixTree.of(drawn)
    query, key, value = states(drawn, tree.tokens.shape[1])
    expected = TreePass(tree)(LAYER, query, key, value, SCALE)
    found = FlexTreePass(tree)(LAYER, query, key, value, SCALE)
    assert found.isfinite().all()
    real = torch.cat([drawn.sequence_mask, drawn.token_mask().flatten(1)], dim=1)
    index = real[:, None, :, None].expand_as(expected)
    torch.testing.assert_close(found[index], expected[index], atol=1e-12, rtol=0)


def test_a_model_may_attend_by_flex() -> None:
    raw = raw_model("llama")
    chunked, flexible = (
        TransformersLanguageModel(copy.deepcopy(raw), (5, 7), tree_attention=kind)
        for kind in (TreePass, FlexTreePass)
    )
    drawn = draw(chunked, packed_batch())
    with torch.no_grad():
        expected = chunked.score(drawn, sequences=True)
        found = flexible.score(drawn, sequences=True)
    torch.testing.assert_close(found.completions, expected.completions, atol=1e-9, rtol=0)
    torch.testing.assert_close(found.sequences, expected.sequences, atol=1e-9, rtol=0)


@given(rollouts(), st.sampled_from([1, 4, 6, 256]))
def test_tree_pass_equals_dense_attention(drawn: Rollouts, queries: int) -> None:
    tree = PrefixTree.of(drawn)
    query, key, value = states(drawn, tree.tokens.shape[1])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attention, "_QUERIES_PER_CALL", queries)
        output = TreePass(tree)(LAYER, query, key, value, SCALE)
    assert output.shape == (*query.shape[:-1], VALUE_WIDTH)
    assert output.isfinite().all()
    expected = seen_by_branches(drawn)
    for row, place in drawn.sequence_mask.nonzero().tolist():
        start = document_start(drawn.batch, row, place)
        expected[row, place] = list(range(start, place + 1))
    for (row, node), seen in expected.items():
        torch.testing.assert_close(
            output[row, :, node],
            dense(query, key, value, row, node, seen),
            atol=1e-10,
            rtol=0,
        )


def test_chunks_of_long_branches_hold_few_of_an_anchor_s() -> None:
    """256 tokens at most: of anchors where one is short, else of its branches."""
    assert attention._chunks(5, 4, 32) == [(0, 2, 4), (2, 4, 4), (4, 5, 4)]
    assert attention._chunks(2, 4, 64) == [(0, 1, 4), (1, 2, 4)]
    assert attention._chunks(2, 5, 128) == [
        (place, place + 1, n) for place in (0, 1) for n in (2, 2, 1)
    ]
    assert attention._chunks(1, 2, 300) == [(0, 1, 1), (0, 1, 1)]
    assert attention._chunks(0, 2, 300) == []


@given(rollouts())
def test_trunk_pass_equals_the_tree_and_keeps_what_it_saw(drawn: Rollouts) -> None:
    tree = PrefixTree.of(drawn)
    query, key, value = (
        part[:, :, : tree.trunk_length] for part in states(drawn, tree.tokens.shape[1])
    )
    keeping = TrunkPass(Trunk.of(drawn.batch), keep=True)
    output = keeping(LAYER, query, key, value, SCALE)
    for row, place in drawn.sequence_mask.nonzero().tolist():
        seen = list(range(document_start(drawn.batch, row, place), place + 1))
        torch.testing.assert_close(
            output[row, :, place], dense(query, key, value, row, place, seen), atol=1e-10, rtol=0
        )
    assert keeping.kept is not None
    assert torch.equal(keeping.kept[LAYER][0], key)
    assert torch.equal(keeping.kept[LAYER][1], value)
    assert TrunkPass(Trunk.of(drawn.batch)).kept is None


@given(rollouts())
def test_steps_equal_the_tree(drawn: Rollouts) -> None:
    """Growing all branches a token at a time gives what one pass over the tree gives."""
    tree = PrefixTree.of(drawn)
    length = tree.trunk_length
    query, key, value = states(drawn, tree.tokens.shape[1])
    whole = TreePass(tree)(LAYER, query, key, value, SCALE)
    prefixes = Prefixes.of(drawn.batch, drawn.anchors, drawn.anchor_mask)
    kept: dict[nn.Module, tuple[Tensor, Tensor]] = {
        LAYER: (key[:, :, :length], value[:, :, :length])
    }
    steps = BranchSteps(kept, prefixes, drawn.samples, drawn.horizon)
    mask = drawn.token_mask().flatten(1)
    for step in range(drawn.horizon):
        nodes = torch.arange(length + step, tree.tokens.shape[1], drawn.horizon)
        output = steps(LAYER, query[:, :, nodes], key[:, :, nodes], value[:, :, nodes], SCALE)
        alive = mask[:, step :: drawn.horizon]
        torch.testing.assert_close(
            output.transpose(1, 2)[alive],
            whole[:, :, nodes].transpose(1, 2)[alive],
            atol=1e-10,
            rtol=0,
        )


@pytest.mark.parametrize("architecture", CONFIGURATIONS)
def test_an_installed_model_behaves_as_before(architecture: str) -> None:
    raw = raw_model(architecture)
    installed = copy.deepcopy(raw)
    install(installed)
    tokens = torch.randint(61, (2, 9), generator=seeded(0))
    mask = torch.ones_like(tokens)
    mask[1, :3] = 0
    with torch.no_grad():
        for arguments in ({}, {"attention_mask": mask}):
            expected = raw(tokens, **arguments).logits
            torch.testing.assert_close(installed(tokens, **arguments).logits, expected)
        generated = [
            model.generate(tokens[:1], max_new_tokens=5, do_sample=False, pad_token_id=0)
            for model in (raw, installed)
        ]
    assert torch.equal(*generated)


def test_a_failing_pass_leaves_nothing_behind() -> None:
    model = raw_model()
    tokens = torch.randint(61, (1, 9), generator=seeded(0))
    with torch.no_grad():
        expected = model(tokens).logits
        install(model)
        with pytest.raises(RuntimeError, match="stop"), attending(TrunkPassThatFails()):
            model(tokens)
        torch.testing.assert_close(model(tokens).logits, expected)


class TrunkPassThatFails(attention.TreeAttention):
    def __call__(
        self, layer: nn.Module, query: Tensor, key: Tensor, value: Tensor, scale: float
    ) -> Tensor:
        raise RuntimeError("stop")


@pytest.mark.parametrize("option", ["softcap", "s_aux", "position_bias"])
def test_attention_with_more_than_scores_is_refused(option: str) -> None:
    part = torch.zeros(1, 1, 2, 4)
    options = {option: 5.0}
    with pytest.raises(NotImplementedError, match=f"attention with {option}"):
        attention._attention_function(LAYER, part, part, part, TrunkPassThatFails(), **options)


def test_the_choice_of_attention_is_not_saved(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    model = raw_model(dtype=torch.float32)
    install(model)
    model.save_pretrained(tmp_path)
    assert attention.IMPLEMENTATION not in (tmp_path / "config.json").read_text()
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert loaded.config._attn_implementation != attention.IMPLEMENTATION
