"""Layers above the deepest one that is asked for are not run, and nothing is left behind."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ebmlm.features import HiddenStateFeatures, LayerIndices
from ebmlm.transformers_model import TransformersLanguageModel
from tests.helpers import LAYERS, draw, packed_batch, pair


def _calls(network: TransformersLanguageModel) -> list[int]:
    """How often each layer was run; grows as the network is used."""
    counts = [0] * LAYERS
    layers = next(part for part in network.model.modules() if isinstance(part, nn.ModuleList))
    for number, layer in enumerate(layers):

        def count(*_: object, number: int = number) -> None:
            counts[number] += 1

        layer.register_forward_pre_hook(count)
    return counts


@pytest.mark.parametrize(("layers", "expected"), [([0], [0, 0]), ([1], [1, 0]), ([1, 0], [1, 0])])
def test_layers_above_the_deepest_are_not_run(layers: list[int], expected: list[int]) -> None:
    model, _ = pair()
    rollouts = draw(model, packed_batch())
    network = model.frozen()
    calls = _calls(network)
    HiddenStateFeatures(network, LayerIndices(layers))(rollouts)
    # A pre-hook that came first sees a layer that then stops: layer 0 is met but not run.
    assert calls[1] == expected[1]
    assert calls[0] == 1
    ran = 0

    def count(*_: object) -> None:
        nonlocal ran
        ran += 1

    network.model.model.layers[0].self_attn.register_forward_hook(count)
    HiddenStateFeatures(network, LayerIndices(layers))(rollouts)
    assert ran == expected[0]
    # The network is whole again afterwards.
    with torch.no_grad():
        torch.testing.assert_close(
            network.score(rollouts).completions, model.score(rollouts).completions
        )


def test_an_interrupted_pass_leaves_no_hook_behind() -> None:
    model, _ = pair()
    rollouts = draw(model, packed_batch())
    layers = next(part for part in model.model.modules() if isinstance(part, nn.ModuleList))
    with torch.no_grad():
        model.hidden_states(rollouts, [0, 1])
        handle = layers[1].register_forward_pre_hook(lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            model.hidden_states(rollouts, [0, 1, 2])
        handle.remove()
    assert not any(layer._forward_hooks or layer._forward_pre_hooks for layer in layers)
