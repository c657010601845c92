"""Any callable as an energy."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from ebmlm.energies import FunctionEnergy
from ebmlm.rollouts import Rollouts, Scores
from tests.helpers import made_rollouts, packed_batch


def _rollouts() -> Rollouts:
    made = made_rollouts(
        packed_batch(), torch.tensor([[6, 9]] * 4), torch.ones(4, 2, 3, 2, dtype=torch.long)
    )
    return dataclasses.replace(made, anchor_mask=torch.tensor([[True, False]] * 4))


def _terms(energy: FunctionEnergy, rollouts: Rollouts) -> Tensor:
    return energy(rollouts, Scores(torch.zeros(rollouts.completions.shape))).unary


def test_values_are_energies_at_valid_anchors() -> None:
    rollouts = _rollouts()
    energy = FunctionEnergy(lambda drawn: drawn.completions.sum(-1), name="tokens")
    terms = energy(rollouts, Scores(torch.zeros(rollouts.completions.shape)))
    assert terms.pairwise is None
    assert terms.unary.dtype == torch.float32
    assert (terms.unary[:, 0] == 2).all()
    assert (terms.unary[:, 1] == 0).all()
    assert (terms.metrics["tokens"][:, 0] == 2).all()


def test_double_precision_is_kept_and_no_gradient() -> None:
    weight = torch.ones((), dtype=torch.float64, requires_grad=True)
    energy = FunctionEnergy(lambda drawn: drawn.completions.sum(-1) * weight)
    unary = _terms(energy, _rollouts())
    assert unary.dtype == torch.float64
    assert not unary.requires_grad


@pytest.mark.parametrize("shape", [(4, 2), (4, 2, 3, 2), (4, 2, 2), (8, 3), ()])
def test_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    energy = FunctionEnergy(lambda _: torch.zeros(shape), name="length")
    with pytest.raises(ValueError, match=r"length returned shape .*\(4, 2, 3\)"):
        _terms(energy, _rollouts())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_value_that_is_not_finite_is_refused_where_it_counts(value: float) -> None:
    rollouts = _rollouts()
    values = torch.zeros(4, 2, 3)
    values[2, 1, 0] = value
    energy = FunctionEnergy(lambda _: values, name="length")
    assert _terms(energy, rollouts).isfinite().all()
    values[2, 0, 1] = value
    with pytest.raises(ValueError, match="length returned a value that is not finite"):
        _terms(energy, rollouts)
