"""Hidden-state features against plain forward passes that return all hidden states."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor

from ebmlm.errors import UserError
from ebmlm.features import (
    Depths,
    HiddenStateFeatures,
    JointLength,
    LastToken,
    LayerIndices,
    LayerLength,
    MeanToken,
    Normalisation,
    PerToken,
    Pooling,
    Quartiles,
    Unnormalised,
)
from ebmlm.rollouts import Rollouts, gather_continuations
from ebmlm.testing import TabularLanguageModel
from ebmlm.transformers_model import TransformersLanguageModel
from tests.helpers import (
    CONFIGURATIONS,
    LAYERS,
    branches,
    draw,
    made_rollouts,
    packed_batch,
    padded,
    pair,
    prefix_of,
    raw_model,
    seeded,
)

ALL_LAYERS = tuple(range(LAYERS + 1))


@torch.no_grad()
def _states_alone(raw: Any, prefix: list[int], tokens: list[int]) -> list[Tensor]:
    """State (token, feature) of ``tokens`` after each number of layers, in one plain pass."""
    output = raw(input_ids=torch.tensor([prefix + tokens]), output_hidden_states=True)
    return [state[0, len(prefix) :] for state in output.hidden_states]


def _reference_tokens(rollouts: Rollouts, row: int, place: int) -> list[int]:
    mask = rollouts.reference_mask[row, place]
    tokens: list[int] = rollouts.references[row, place][mask].tolist()
    return tokens


@pytest.mark.parametrize("architecture", CONFIGURATIONS)
def test_states_equal_one_branch_at_a_time(architecture: str) -> None:
    model, raw = pair(architecture)
    rollouts = draw(model, packed_batch())
    with torch.no_grad():
        states = model.hidden_states(rollouts, ALL_LAYERS)
    for row, place, number, tokens in branches(rollouts):
        anchor = int(rollouts.anchors[row, place])
        prefix = prefix_of(rollouts.batch, row, anchor)
        alone = _states_alone(raw, prefix, tokens)
        for layer in ALL_LAYERS:
            ours = states.branches[layer][row, place, number, : len(tokens)]
            torch.testing.assert_close(ours, alone[layer], atol=1e-5, rtol=1e-5)
        real = _reference_tokens(rollouts, row, place)
        alone = _states_alone(raw, prefix, real)
        for layer in ALL_LAYERS:
            ours = states.trunk[layer][row, anchor : anchor + len(real)]
            torch.testing.assert_close(ours, alone[layer], atol=1e-5, rtol=1e-5)


POOLINGS: dict[str, Pooling] = {
    "last": LastToken(),
    "mean": MeanToken(),
    "quartiles": Quartiles(),
    "tokens": PerToken(),
}


def _pool_alone(name: str, states: Tensor, horizon: int) -> Tensor:
    """Pooled state of the real tokens (token, feature), none of them padding."""
    count, width = states.shape
    if name == "last":
        return states[-1]
    if name == "mean":
        return states.mean(0)
    if name == "tokens":
        return torch.cat([states.flatten(), states.new_zeros((horizon - count) * width)])
    quarters = []
    for quarter in range(4):
        begin = quarter * count // 4
        end = max((quarter + 1) * count // 4, begin + 1)
        quarters.append(states[begin:end].mean(0))
    return torch.cat(quarters)


@pytest.mark.parametrize("name", POOLINGS)
def test_features_equal_one_branch_at_a_time(name: str) -> None:
    """Pooled over real tokens, layers side by side, brought to length one together."""
    model, raw = pair(end_tokens=tuple(range(0, 60, 4)))
    rollouts = draw(model, packed_batch())
    assert 0 < rollouts.token_mask().float().mean() < 0.8
    network = model.frozen()
    features = HiddenStateFeatures(network, LayerIndices([0, 2]), POOLINGS[name])(rollouts)
    assert features.references is not None
    assert features.blocks == (features.rollouts.shape[-1],)
    for row, place, number, tokens in branches(rollouts):
        prefix = prefix_of(rollouts.batch, row, int(rollouts.anchors[row, place]))
        real = _reference_tokens(rollouts, row, place)
        for ours, text in (
            (features.rollouts[row, place, number], tokens),
            (features.references[row, place], real),
        ):
            alone = _states_alone(raw, prefix, text)
            pooled = torch.cat([_pool_alone(name, alone[layer], 4) for layer in (0, 2)])
            expected = pooled / pooled.square().sum().sqrt()
            torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-5)
    invalid = ~rollouts.anchor_mask
    assert invalid.any()
    assert (features.rollouts[invalid] == 0).all()
    assert (features.references[invalid] == 0).all()


@pytest.mark.parametrize("name", POOLINGS)
@pytest.mark.parametrize(("before", "after"), [(3, 0), (0, 5), (2, 2)])
def test_padding_changes_no_feature(name: str, before: int, after: int) -> None:
    model, _ = pair(end_tokens=tuple(range(0, 60, 4)))
    features = HiddenStateFeatures(model.frozen(), LayerIndices([1, 2]), POOLINGS[name])
    batch = packed_batch()
    one, other = draw(model, batch), draw(model, padded(batch, before, after, fill=9))
    ours, theirs = features(one), features(other)
    assert ours.references is not None
    assert theirs.references is not None
    for row in range(len(batch)):
        mine, yours = one.anchor_mask[row], other.anchor_mask[row]
        torch.testing.assert_close(ours.rollouts[row][mine], theirs.rollouts[row][yours])
        torch.testing.assert_close(ours.references[row][mine], theirs.references[row][yours])


def test_a_rollout_that_copies_the_text_has_its_features() -> None:
    model, _ = pair()
    batch = packed_batch()
    drawn = draw(model, batch)
    copies = dataclasses.replace(
        drawn,
        completions=drawn.references.unsqueeze(2).expand_as(drawn.completions),
        completion_mask=drawn.reference_mask.unsqueeze(2).expand_as(drawn.completion_mask),
    )
    for pooling in POOLINGS.values():
        features = HiddenStateFeatures(model.frozen(), LayerIndices([0, 1, 2]), pooling)(copies)
        assert features.references is not None
        torch.testing.assert_close(
            features.rollouts, features.references.unsqueeze(2).expand_as(features.rollouts)
        )


@pytest.mark.parametrize("normalisation", [JointLength(), LayerLength(), Unnormalised()])
@pytest.mark.parametrize("apart", [True, False])
def test_layers_together_or_apart(normalisation: Normalisation, apart: bool) -> None:
    model, _ = pair()
    rollouts = draw(model, packed_batch())
    network = model.frozen()
    features = HiddenStateFeatures(
        network, LayerIndices([1, 2]), LastToken(), normalisation, apart
    )(rollouts)
    assert features.blocks == ((16, 16) if apart else (32,))
    blocks = features.split()
    assert [block.rollouts.shape[-1] for block in blocks] == list(features.blocks)
    assert torch.equal(torch.cat([block.rollouts for block in blocks], -1), features.rollouts)

    states = network.hidden_states(rollouts, [1, 2]).branches
    layers = [LastToken()(state, rollouts.token_mask(), 4) for state in states]
    lengths = [layer.norm(dim=-1, keepdim=True).clamp(min=1e-9) for layer in layers]
    both = (lengths[0].square() + lengths[1].square()).sqrt()
    divisors = {JointLength: [both, both], LayerLength: lengths, Unnormalised: [1.0, 1.0]}
    expected = [
        layer / divisor
        for layer, divisor in zip(layers, divisors[type(normalisation)], strict=True)
    ]
    torch.testing.assert_close(features.rollouts, torch.cat(expected, -1))


def test_layers_that_the_network_does_not_have() -> None:
    model, _ = pair()
    with pytest.raises(UserError, match="layer 3: this network has layers 0 to 2"):
        HiddenStateFeatures(model, LayerIndices([3]))
    with pytest.raises(ValueError, match="layer 3: this model has layers 0 to 2"):
        model.hidden_states(draw(model, packed_batch()), [3])
    assert HiddenStateFeatures(model, Depths([0.5, 1.0])).layers == (1, 2)


def test_references_must_be_the_text_after_their_anchors() -> None:
    model, _ = pair()
    rollouts = draw(model, packed_batch())
    wrong = dataclasses.replace(rollouts, references=(rollouts.references + 1) % 61)
    with pytest.raises(ValueError, match="not the text after their anchors"):
        HiddenStateFeatures(model)(wrong)


def test_references_may_be_shorter_or_longer_than_rollouts() -> None:
    model, raw = pair()
    batch = packed_batch().rows(0, 1)
    rollouts = made_rollouts(
        batch, torch.tensor([[4, 9]]), torch.randint(61, (1, 2, 2, 3), generator=seeded(1))
    )
    for length in (1, 3, 8):
        references, mask = gather_continuations(
            batch, rollouts.anchors, rollouts.anchor_mask, length
        )
        changed = dataclasses.replace(rollouts, references=references, reference_mask=mask)
        features = HiddenStateFeatures(model.frozen(), LayerIndices([2]))(changed)
        assert features.references is not None
        for place, anchor in enumerate([4, 9]):
            tokens = batch.sequences[0, anchor : anchor + length].tolist()
            alone = _states_alone(raw, batch.sequences[0, :anchor].tolist(), tokens)[2][-1]
            torch.testing.assert_close(
                features.references[0, place], alone / alone.norm(), atol=1e-5, rtol=1e-5
            )


def test_another_network_with_the_same_vocabulary() -> None:
    model, _ = pair()
    network = TransformersLanguageModel(raw_model("gpt2", seed=5))
    rollouts = draw(model, packed_batch())
    ours = HiddenStateFeatures(model.frozen(), LayerIndices([1]))(rollouts)
    theirs = HiddenStateFeatures(network, LayerIndices([1]))(rollouts)
    assert ours.rollouts.shape == theirs.rollouts.shape
    assert (ours.rollouts - theirs.rollouts).abs().max() > 0.1


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_precision_is_the_networks_and_there_is_no_gradient(dtype: torch.dtype) -> None:
    model, _ = pair(dtype=dtype)
    rollouts = draw(model, packed_batch())
    for network in (model.frozen(), model):
        features = HiddenStateFeatures(network)(rollouts)
        assert features.rollouts.dtype == dtype
        assert not features.rollouts.requires_grad


def test_features_under_autocast_are_float32() -> None:
    """A copy made in the region is kept in its type; pooling and lengths are not rounded."""
    model, _ = pair(dtype=torch.float32)
    rollouts = draw(model, packed_batch())
    exact = HiddenStateFeatures(model.frozen())(rollouts)
    with torch.autocast("cpu", torch.bfloat16):
        network = model.frozen()
        rough = HiddenStateFeatures(network)(rollouts)
    assert next(network.model.parameters()).dtype == torch.bfloat16
    assert next(model.model.parameters()).dtype == torch.float32
    assert rough.rollouts.dtype == torch.float32
    lengths = rough.rollouts.norm(dim=-1)[rollouts.anchor_mask]
    torch.testing.assert_close(lengths, torch.ones_like(lengths))
    likeness = torch.cosine_similarity(rough.rollouts, exact.rollouts, dim=-1)
    assert likeness[rollouts.anchor_mask].min() > 0.9


def test_the_table_is_read_by_the_same_map() -> None:
    model = TabularLanguageModel(3, 4, generator=seeded(0))
    rollouts = draw(model, packed_batch(12, 3), samples=2, horizon=2)
    features = HiddenStateFeatures(model.frozen(), LayerIndices([0, 4]))(rollouts)
    assert features.rollouts.shape[-1] == 12
    lengths = features.rollouts.norm(dim=-1)[rollouts.anchor_mask]
    torch.testing.assert_close(lengths, torch.ones_like(lengths))
