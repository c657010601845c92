"""Poolings by hand-worked numbers."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ebmlm.features import LastToken, MeanToken, PerToken, Pooling, Quartiles
from tests.helpers import seeded

NAN = float("nan")


def _states(*values: float) -> torch.Tensor:
    """States of two features, the second a hundred times the first."""
    column = torch.tensor(values, dtype=torch.float64)
    return torch.stack([column, 100 * column], dim=-1)


def _mask(pattern: str) -> torch.Tensor:
    return torch.tensor([mark == "x" for mark in pattern])


CASES: list[tuple[Pooling, tuple[float, ...], str, list[float]]] = [
    (LastToken(), (1, 2, 3, 4), "xxxx", [4, 400]),
    (LastToken(), (1, 2, NAN, NAN), "xx..", [2, 200]),
    (LastToken(), (NAN, NAN, 3, 4), "..xx", [4, 400]),
    (LastToken(), (NAN, 2, 3, NAN), ".xx.", [3, 300]),
    (LastToken(), (NAN, NAN), "..", [0, 0]),
    (MeanToken(), (1, 2, 3, 6), "xxxx", [3, 300]),
    (MeanToken(), (1, 2, NAN, NAN), "xx..", [1.5, 150]),
    (MeanToken(), (NAN, NAN, 3, 4), "..xx", [3.5, 350]),
    (MeanToken(), (NAN, NAN), "..", [0, 0]),
    (Quartiles(), (1, 2, 3, 4), "xxxx", [1, 100, 2, 200, 3, 300, 4, 400]),
    (
        Quartiles(),
        (1, 2, 3, 4, 5, 6, 7, 8),
        "xxxxxxxx",
        [1.5, 150, 3.5, 350, 5.5, 550, 7.5, 750],
    ),
    # Six tokens: quarters 0..1, 1..3, 3..4, 4..6.
    (
        Quartiles(),
        (NAN, 1, 2, 3, 4, 5, 6, NAN),
        ".xxxxxx.",
        [1, 100, 2.5, 250, 4, 400, 5.5, 550],
    ),
    # Three tokens: begins 0, 0, 1, 2; each at least one token.
    (Quartiles(), (1, 2, 3, NAN), "xxx.", [1, 100, 1, 100, 2, 200, 3, 300]),
    (Quartiles(), (NAN, 7), ".x", [7, 700, 7, 700, 7, 700, 7, 700]),
    (Quartiles(), (NAN, NAN), "..", [0] * 8),
    (PerToken(), (1, 2, 3), "xxx", [1, 100, 2, 200, 3, 300]),
    (PerToken(), (1, 2, NAN), "xx.", [1, 100, 2, 200, 0, 0]),
    (PerToken(), (1, NAN), "x.", [1, 100, 0, 0, 0, 0]),
    (PerToken(), (1, 2, 3, 4, 5), "xxxxx", [1, 100, 2, 200, 3, 300]),
    (PerToken(), (NAN, NAN, NAN), "...", [0] * 6),
]


@pytest.mark.parametrize(("pooling", "values", "pattern", "expected"), CASES)
def test_by_hand(
    pooling: Pooling, values: tuple[float, ...], pattern: str, expected: list[float]
) -> None:
    """With a horizon of 3; what stands at padding may even be not a number."""
    pooled = pooling(_states(*values), _mask(pattern), 3)
    torch.testing.assert_close(pooled, torch.tensor(expected, dtype=torch.float64))


@given(
    st.sampled_from([LastToken(), MeanToken(), Quartiles()]),
    st.integers(1, 9),
    st.integers(0, 4),
    st.integers(0, 4),
)
def test_padding_on_either_side_changes_nothing(
    pooling: Pooling, count: int, before: int, after: int
) -> None:
    states = torch.randn(2, 3, count, 4, generator=seeded(count), dtype=torch.float64)
    mask = torch.ones(2, 3, count, dtype=torch.bool)
    wide = torch.nn.functional.pad(states, (0, 0, before, after), value=NAN)
    wide_mask = torch.nn.functional.pad(mask, (before, after), value=False)
    ours = pooling(wide, wide_mask, count)
    torch.testing.assert_close(ours, pooling(states, mask, count))
    assert ours.shape[:2] == (2, 3)


def test_token_values_do_not_matter() -> None:
    """A state of zeros at a real token is a state like any other."""
    states = _states(1, 2, 0)
    assert LastToken()(states, _mask("xxx"), 3).tolist() == [0, 0]
    assert MeanToken()(states, _mask("xxx"), 3).tolist() == pytest.approx([1, 100])
