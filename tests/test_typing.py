"""Shape types mean something at run time, and the whole test run is checked by them."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from typing import Any

import pytest
import torch
import typeguard
from torch import Tensor

import ebmlm.typing
from ebmlm.distribution import Categorical
from ebmlm.energies import EnergyTerms
from ebmlm.estimators import mean_over_anchors, sequence_log_prob
from ebmlm.features import Features, NoWhitening
from ebmlm.objectives.cross_entropy import cross_entropy
from ebmlm.rollouts import Rollouts, SequenceBatch
from ebmlm.samplers import sequence_uniforms
from ebmlm.typing import BatchAnchor, BatchAnchorSample, Scalar
from tests.helpers import made_rollouts, packed_batch


@typeguard.typechecked
def spread(values: BatchAnchorSample, weights: BatchAnchor) -> BatchAnchorSample:
    return values * weights.unsqueeze(-1)


@typeguard.typechecked
def maybe(values: BatchAnchorSample, weights: BatchAnchor | None = None) -> Scalar:
    return values.sum()


@typeguard.typechecked
def turned(values: BatchAnchorSample) -> BatchAnchorSample:
    return values.mT


def test_right_axes_pass() -> None:
    assert spread(torch.ones(2, 3, 4), torch.ones(2, 3)).shape == (2, 3, 4)
    assert maybe(torch.ones(2, 3, 4), torch.ones(2, 3)) == 24
    assert maybe(torch.ones(2, 3, 4)) == 24
    assert turned(torch.ones(2, 3, 3)).shape == (2, 3, 3)


@pytest.mark.parametrize("weights", [torch.ones(2, 4), torch.ones(3, 3), torch.ones(2, 1)])
def test_an_axis_means_one_size_within_a_call(weights: Tensor) -> None:
    with pytest.raises(TypeError, match="inconsistent size"):
        spread(torch.ones(2, 3, 4), weights)
    with pytest.raises(TypeError, match="inconsistent size"):
        maybe(torch.ones(2, 3, 4), weights)


@pytest.mark.parametrize("weights", [torch.ones(()), torch.ones(2), torch.ones(2, 3, 4)])
def test_the_number_of_axes_counts(weights: Tensor) -> None:
    with pytest.raises(TypeError):
        spread(torch.ones(2, 3, 4), weights)
    with pytest.raises(TypeError):
        maybe(torch.ones(2, 3, 4), weights)


def test_what_is_returned_is_checked_too() -> None:
    with pytest.raises(TypeError, match="inconsistent size"):
        turned(torch.ones(2, 3, 4))


def test_a_message_can_be_printed() -> None:
    with pytest.raises(TypeError, match="TensorType") as caught:
        spread(torch.ones(2, 3), torch.ones(2, 3))
    assert "3" in str(caught.value)


@pytest.mark.parametrize("name", [name for name in ebmlm.typing.__all__ if name != "Scalar"])
def test_every_name_spells_its_axes(name: str) -> None:
    """``BatchAnchorSampleToken`` has the axes batch, anchor, sample and token, in this order."""
    metadata = getattr(ebmlm.typing, name).__metadata__[0]
    axes = [
        dim.size if isinstance(dim.size, str) else dim.name for dim in metadata["details"][0].dims
    ]
    assert "".join(str(axis).capitalize() for axis in axes) == name


def _terms(**changes: Any) -> EnergyTerms:
    fields = {"unary": torch.ones(2, 3, 4), "pairwise": torch.ones(2, 3, 4, 4)} | changes
    return EnergyTerms(**fields)


def _rollouts(**changes: Any) -> Rollouts:
    made = made_rollouts(
        packed_batch(), torch.tensor([[5, 9]] * 4), torch.zeros(4, 2, 3, 5, dtype=torch.long)
    )
    return dataclasses.replace(made, **changes)


WRONG = {
    "function": lambda: mean_over_anchors(torch.ones(2, 3), torch.ones(3, 2)),
    "another function": lambda: sequence_log_prob(torch.ones(1, 2, 3, 4), torch.ones(1, 2, 4, 3)),
    "one argument": lambda: sequence_uniforms(torch.ones(1, 2), (1,), None),
    "module function": lambda: cross_entropy(torch.ones(3), 1.0),
    "method": lambda: Categorical().log_prob(torch.ones(2, 3), torch.zeros(3, dtype=torch.long)),
    "call": lambda: NoWhitening()(
        Features(torch.ones(1, 2, 3, 4), torch.ones(1, 2, 4), (4,)), torch.ones(2, 1)
    ),
    "class method": lambda: SequenceBatch.of(torch.zeros(2, 3, 4, dtype=torch.long)),
    "constructor": lambda: _terms(unary=torch.ones(2, 3, 5)),
    "square": lambda: _terms(pairwise=torch.ones(2, 3, 4, 5)),
    "big constructor": lambda: _rollouts(anchor_mask=torch.ones(4, 3)),
}


@pytest.mark.parametrize("call", WRONG.values(), ids=WRONG)
def test_the_whole_run_is_checked(call: Any) -> None:
    """``tests/conftest.py`` puts the checks on before ``ebmlm`` is imported."""
    with pytest.raises(TypeError):
        call()


def test_the_right_shapes_of_the_same_calls_pass() -> None:
    assert _terms().samples == 4
    assert _rollouts(anchor_mask=torch.ones(4, 2)).samples == 3
    assert mean_over_anchors(torch.ones(2, 3), torch.ones(2, 3, dtype=torch.bool)) == 1


def test_torch_itself_is_not_touched() -> None:
    code = (
        "import torch; before = set(dir(torch.Tensor)), torch.Tensor.__repr__;"
        "import ebmlm.rollouts, ebmlm.typing;"
        "assert before == (set(dir(torch.Tensor)), torch.Tensor.__repr__)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
