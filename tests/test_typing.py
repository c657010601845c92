"""Shape types mean something at run time, and the whole test run is checked by them."""

from __future__ import annotations

import dataclasses
import importlib.util
import subprocess
import sys
from types import ModuleType
from typing import Any

import pytest
import torch
import typeguard
from torch import Tensor
from torchtyping import TensorType
from torchtyping.tensor_details import ShapeDetail

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


class _Gone:
    """An attribute that reads as if it were not there."""

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        raise AttributeError("names")


def _afresh(name: str) -> ModuleType:
    """A module that is imported already, executed once more; the first stays where it is."""
    spec = importlib.util.find_spec(name)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(params=["torch has names", "torch has no names"], autouse=True)
def mended(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether torchtyping is mended: every test of this file runs both ways on any torch."""
    as_shipped = _afresh("torchtyping.tensor_details").ShapeDetail
    for method in ("check", "tensor_repr"):
        monkeypatch.setattr(ShapeDetail, method, vars(as_shipped)[method])
    if request.param == "torch has no names":
        monkeypatch.setattr(Tensor, "names", _Gone(), raising=False)
    elif not hasattr(Tensor, "names"):
        monkeypatch.setattr(
            Tensor, "names", property(lambda tensor: (None,) * tensor.ndim), raising=False
        )
    _afresh("ebmlm.typing")
    return not hasattr(Tensor, "names")


def test_two_methods_are_mended_where_names_are_gone(mended: bool) -> None:
    ours = {
        name
        for name, method in vars(ShapeDetail).items()
        if getattr(method, "__module__", None) == ebmlm.typing.__name__
    }
    assert ours == ({"check", "tensor_repr"} if mended else set())


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


@pytest.mark.parametrize("weights", [torch.ones(()), torch.ones(2), torch.ones(5, 2, 3)])
def test_the_number_of_axes_counts(weights: Tensor) -> None:
    with pytest.raises(TypeError):
        spread(torch.ones(2, 3, 4), weights)
    with pytest.raises(TypeError):
        maybe(torch.ones(2, 3, 4), weights)


def test_what_is_returned_is_checked_too() -> None:
    with pytest.raises(TypeError, match="inconsistent size"):
        turned(torch.ones(2, 3, 4))


@pytest.mark.parametrize(
    ("kind", "right", "wrong"),
    [
        (TensorType[2, "axis"], [(2, 1), (2, 5)], [(3, 1), (2,), (1, 2, 5)]),
        (TensorType["axis":2], [(2,)], [(3,), (), (1, 2)]),
        (TensorType[-1, 3], [(1, 3), (2, 3)], [(3, 1), (3,)]),
        (TensorType[..., 3], [(3,), (1, 2, 3)], [(), (3, 1)]),
        (TensorType[..., "axis", 3], [(2, 3), (1, 2, 3)], [(3,), (2, 3, 1)]),
    ],
)
def test_what_no_shape_here_needs_means_what_it_did(kind: Any, right: Any, wrong: Any) -> None:
    """Other code of the same process may use torchtyping, whose methods are replaced for all."""
    detail = kind.__metadata__[0]["details"][0]
    assert all(detail.check(torch.ones(shape)) for shape in right)
    assert not any(detail.check(torch.ones(shape)) for shape in wrong)


def test_the_message_says_what_was_expected_and_what_came() -> None:
    with pytest.raises(TypeError) as caught:
        spread(torch.ones(2, 3), torch.ones(2, 3))
    expected = "type TensorType['batch', 'anchor', 'sample'], got type TensorType[2, 3] instead"
    assert expected in str(caught.value)


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
