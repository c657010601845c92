from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from ebmlm.continuations import CompleteContinuations, with_real_first
from ebmlm.energies import FixedFeatures, Head, LengthEnergy, ResidualEnergy, TrainedStates
from ebmlm.errors import UserError
from ebmlm.features import HiddenStateFeatures, LayerIndices, MeanToken, NGramFeatures
from ebmlm.rollouts import Scores, SequenceBatch
from ebmlm.samplers import GivenAnchors
from ebmlm.targets import EnergyModel
from ebmlm.testing.tiny import tiny_transformer
from tests.helpers import draw, packed_batch, pair, seeded


def made(width: int, hidden: tuple[int, ...] = (5,)) -> Head:
    head = Head(width, hidden).double()
    with torch.no_grad():
        head.output.weight.normal_(generator=seeded(1))
    return head


def hidden_states(seed: int = 0) -> HiddenStateFeatures:
    model = tiny_transformer(vocabulary=61, seed=seed)
    return HiddenStateFeatures(model, LayerIndices([1, -1]), MeanToken())


def test_a_new_energy_is_zero_and_leaves_the_language_model_as_it_is() -> None:
    policy = pair()[0]
    energy = ResidualEnergy(FixedFeatures(hidden_states()), Head(32).double())
    rollouts = draw(policy, packed_batch())
    assert not energy.values(rollouts).any()
    target = EnergyModel(policy, energy)
    assert torch.allclose(target.log_weights(rollouts), torch.zeros(()).double(), atol=1e-6)


def test_the_energy_carries_no_gradient_and_its_values_do() -> None:
    energy = ResidualEnergy(FixedFeatures(hidden_states()), made(32))
    rollouts = draw(pair()[0], packed_batch())
    values = energy.values(rollouts)
    assert values.requires_grad
    terms = energy(rollouts, Scores(rollouts.log_probs))
    assert not terms.unary.requires_grad
    assert torch.equal(terms.unary, values.detach())
    assert not values[~rollouts.anchor_mask].any()
    values.sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in energy.module.parameters())


def test_the_real_continuation_is_read_as_if_it_had_been_drawn() -> None:
    rollouts = draw(pair()[0], packed_batch())
    for representation in (
        FixedFeatures(hidden_states()),
        FixedFeatures(NGramFeatures((1,), 32)),
        TrainedStates(hidden_states()),
    ):
        energy = ResidualEnergy(representation, made(32))
        real, others = energy.contrast(rollouts)
        both = energy.values(with_real_first(rollouts))
        torch.testing.assert_close(real, both[..., 0], atol=1e-10, rtol=0)
        torch.testing.assert_close(others, both[..., 1:], atol=1e-10, rtol=0)


def test_a_network_that_trains_gets_a_gradient_and_one_that_is_fixed_does_not() -> None:
    rollouts = draw(pair()[0], packed_batch())
    trains, fixed = hidden_states(), hidden_states()
    ResidualEnergy(TrainedStates(trains), made(32)).values(rollouts).sum().backward()
    ResidualEnergy(FixedFeatures(fixed), made(32)).values(rollouts).sum().backward()
    network, still = trains.network, fixed.network
    assert any(p.grad is not None and p.grad.any() for p in network.module.parameters())
    assert all(p.grad is None for p in still.module.parameters())


@pytest.mark.parametrize("trained", [False, True])
def test_what_is_saved_is_what_is_loaded(trained: bool, tmp_path: Path) -> None:
    kind = TrainedStates if trained else FixedFeatures
    energy = ResidualEnergy(kind(hidden_states(3 if trained else 0)), made(32, (7, 5)))
    energy.save(tmp_path)
    assert json.loads((tmp_path / "energy.json").read_text())["head"]["hidden"] == [7, 5]
    again = ResidualEnergy.load(tmp_path, kind(hidden_states()))
    rollouts = draw(pair()[0], packed_batch())
    assert torch.equal(energy.values(rollouts), again.values(rollouts))
    assert {path.name for path in tmp_path.iterdir()} == {"energy.json", "energy.safetensors"}


def test_folders_that_hold_no_such_energy_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no energy"):
        ResidualEnergy.load(tmp_path, FixedFeatures(hidden_states()))
    ResidualEnergy(FixedFeatures(hidden_states()), made(32)).save(tmp_path)
    with pytest.raises(UserError, match="32 features and a representation of 8"):
        ResidualEnergy.load(tmp_path, FixedFeatures(NGramFeatures((1,), 8)))
    with pytest.raises(UserError, match="another representation"):
        ResidualEnergy.load(tmp_path, TrainedStates(hidden_states()))
    (tmp_path / "energy.safetensors").write_bytes(b"no")
    with pytest.raises(UserError, match="holds no energy"):
        ResidualEnergy.load(tmp_path, FixedFeatures(hidden_states()))


def test_a_constant_moves_every_energy() -> None:
    energy = ResidualEnergy(FixedFeatures(hidden_states()), made(32))
    rollouts = draw(pair()[0], packed_batch())
    before = energy.values(rollouts)
    energy.add_constant(0.5)
    valid = rollouts.anchor_mask
    torch.testing.assert_close(energy.values(rollouts)[valid], before[valid] + 0.5)
    summed = (energy + 2 * LengthEnergy(1))(rollouts, Scores(rollouts.log_probs))
    assert summed.unary.shape == before.shape


def test_a_continuation_that_merely_stops_is_no_completion() -> None:
    sequences = torch.tensor([[0, 1, 0, 1, 2, 0]])
    batch = SequenceBatch.of(sequences, anchors=torch.tensor([[1, 2, 4, 5]]))
    placed = CompleteContinuations(GivenAnchors(), end_tokens=(2,))
    _, valid = placed(batch, 3)
    # Three tokens; ended by an end token at the third; at the first; only one token left.
    assert valid.tolist() == [[True, True, True, False]]
    assert CompleteContinuations(GivenAnchors())(batch, 3)[1].tolist() == [
        [True, True, False, False]
    ]
