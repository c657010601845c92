"""Divergences and Gibbs distributions against their definitions, term by term."""

from __future__ import annotations

import math

import pytest
import torch

from ebmlm.errors import UserError
from ebmlm.testing import (
    exact_divergence,
    exact_gibbs,
    forward_kl,
    jensen_shannon,
    reverse_kl,
    total_variation,
)
from tests.exact import Toy
from tests.helpers import seeded

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


@pytest.mark.parametrize("function", EXPECTED)
def test_divergences_are_their_definitions(function) -> None:
    assert float(exact_divergence(P.log(), Q.log(), function)) == pytest.approx(
        EXPECTED[function], abs=1e-12
    )
    assert float(exact_divergence(P.log(), P.log(), function)) == pytest.approx(0, abs=1e-12)


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


@pytest.mark.parametrize(
    ("energies", "temperature", "message"),
    [
        ([math.inf] * 3, 1.0, "log Z is -inf"),
        ([0.0, math.nan, 0.0], 1.0, "completion 1 is nan"),
        ([0.0, 0.0, -math.inf], 1.0, "completion 2 is -inf"),
        ([0.0] * 3, 0.0, "temperature is 0"),
        ([0.0] * 3, math.nan, "temperature is nan"),
    ],
)
def test_gibbs_refuses_what_has_no_distribution(energies, temperature, message) -> None:
    with pytest.raises(UserError, match=message):
        exact_gibbs(P.log(), torch.tensor(energies, dtype=torch.float64), temperature)


@pytest.mark.parametrize("function", EXPECTED)
def test_completions_that_neither_writes_are_left_out(function) -> None:
    none = torch.tensor([-math.inf], dtype=torch.float64)
    policy = torch.cat([P.log(), none]).requires_grad_(True)
    found = exact_divergence(policy, torch.cat([Q.log(), none]), function)
    assert found.item() == pytest.approx(EXPECTED[function], abs=1e-12)
    (gradient,) = torch.autograd.grad(found, policy)
    assert gradient.isfinite().all()
    with pytest.raises(UserError, match=r"completion 2 has log-probabilities -1\.6"):
        exact_divergence(P.log(), torch.cat([Q.log()[:2], none]), function)


def test_free_energy_is_the_divergence_from_gibbs_less_log_z() -> None:
    """``E_p[E] + KL(p || p_ref) = KL(p || gibbs) - log Z``, for a table's own completions."""
    toy = Toy(vocabulary=3, ends=(1,))
    policy = toy.log_probabilities(toy.model).detach()
    reference = toy.log_probabilities(toy.reference).detach()
    energies = torch.randn(len(policy), dtype=torch.float64, generator=seeded(1))
    gibbs, log_partition = exact_gibbs(reference, energies)
    assert float(gibbs.exp().sum()) == pytest.approx(1, abs=1e-12)
    free = policy.exp() @ energies + exact_divergence(policy, reference, reverse_kl)
    expected = exact_divergence(policy, gibbs, reverse_kl) - log_partition
    torch.testing.assert_close(free, expected, atol=1e-12, rtol=0)
