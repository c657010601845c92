"""Lengths of feature vectors by hand-worked numbers."""

from __future__ import annotations

import pytest
import torch

from ebmlm.features import JointLength, LayerLength, Normalisation, Unnormalised

LAYERS = torch.tensor([[[2.0, 0.0], [4.0, 4.0]], [[0.0, 0.0], [0.0, 5.0]]])
HALF = 0.5**0.5


@pytest.mark.parametrize(
    ("normalisation", "expected"),
    [
        # The length of (2, 0, 4, 4) is 6.
        (JointLength(), [[[1 / 3, 0.0], [2 / 3, 2 / 3]], [[0.0, 0.0], [0.0, 1.0]]]),
        (LayerLength(), [[[1.0, 0.0], [HALF, HALF]], [[0.0, 0.0], [0.0, 1.0]]]),
        (Unnormalised(), LAYERS.tolist()),
    ],
)
def test_by_hand(normalisation: Normalisation, expected: list[list[list[float]]]) -> None:
    torch.testing.assert_close(normalisation(LAYERS), torch.tensor(expected))


@pytest.mark.parametrize("normalisation", [JointLength(), LayerLength(), Unnormalised()])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_zero_stays_zero_and_small_vectors_are_vectors(
    normalisation: Normalisation, dtype: torch.dtype
) -> None:
    assert (normalisation(torch.zeros(3, 2, 4, dtype=dtype)) == 0).all()
    small = torch.full((1, 2, 4), 1e-15, dtype=dtype)
    assert normalisation(small).isfinite().all()
    if not isinstance(normalisation, Unnormalised):
        assert normalisation(small).norm() > 0.99
