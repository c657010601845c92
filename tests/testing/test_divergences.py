"""Divergences and Gibbs distributions against their definitions, term by term."""

from __future__ import annotations

import math

import pytest
import torch

from ebmlm.testing import (
    exact_divergence,
    exact_gibbs,
    forward_kl,
    jensen_shannon,
    reverse_kl,
    total_variation,
)

P = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
Q = torch.tensor([0.2, 0.2, 0.6], dtype=torch.float64)


def kl(left: list[float], right: list[float]) -> float:
    return sum(a * math.log(a / b) for a, b in zip(left, right, strict=True))


MIXED = ((P + Q) / 2).tolist()
EXPECTED = {
    forward_kl: kl(Q.tolist(), P.tolist()),
    reverse_kl: kl(P.tolist(), Q.tolist()),
    jensen_shannon: (kl(P.tolist(), MIXED) + kl(Q.tolist(), MIXED)) / 2,
    total_variation: 0.4,
}


@pytest.mark.parametrize("generator", EXPECTED)
def test_divergences_are_their_definitions(generator) -> None:
    assert float(exact_divergence(P.log(), Q.log(), generator)) == pytest.approx(
        EXPECTED[generator], abs=1e-12
    )
    assert float(exact_divergence(P.log(), P.log(), generator)) == pytest.approx(0, abs=1e-12)


def test_the_gradient_of_reverse_kl_is_the_first_variation() -> None:
    logits = P.log().clone().requires_grad_(True)
    value = exact_divergence(logits.log_softmax(0), Q.log(), reverse_kl)
    (gradient,) = torch.autograd.grad(value, logits)
    gap = P.log() - Q.log()
    torch.testing.assert_close(gradient, P * (gap - (P * gap).sum()), atol=1e-12, rtol=0)


def test_gibbs_reweighs_the_reference() -> None:
    energies = torch.tensor([1.0, 0.0, math.inf], dtype=torch.float64)
    found, log_partition = exact_gibbs(P.log(), energies, 0.5)
    partition = 0.5 * math.exp(-2) + 0.3
    assert float(log_partition) == pytest.approx(math.log(partition), abs=1e-12)
    assert found.exp().tolist() == pytest.approx(
        [0.5 * math.exp(-2) / partition, 0.3 / partition, 0]
    )


def test_gibbs_refuses_what_has_no_distribution() -> None:
    with pytest.raises(ValueError, match="log Z is -inf"):
        exact_gibbs(P.log(), torch.full((3,), math.inf, dtype=torch.float64))
    with pytest.raises(ValueError, match="temperature is 0"):
        exact_gibbs(P.log(), P, 0)
