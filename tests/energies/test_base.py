"""Energy terms and the algebra of energies."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ebmlm.energies import Energy, EnergyTerms, FunctionEnergy, KLEnergy, ScaledEnergy, SumEnergy
from ebmlm.errors import UserError
from ebmlm.rollouts import Rollouts, Scores
from tests.helpers import made_rollouts, packed_batch, seeded

UNARY = torch.tensor([[[1.0, 2.0, 6.0]]])
PAIRWISE = torch.tensor([[[[0.0, 10.0, 20.0], [10.0, 0.0, 40.0], [20.0, 40.0, 0.0]]]])


def _rollouts() -> Rollouts:
    return made_rollouts(
        packed_batch(), torch.tensor([[6, 9]] * 4), torch.zeros(4, 2, 3, 2, dtype=torch.long)
    )


def _scores(rollouts: Rollouts) -> Scores:
    shape = rollouts.completions.shape
    return Scores(torch.randn(shape, generator=seeded(0)), torch.randn(shape, generator=seeded(1)))


class _Pairs(Energy):
    """An energy with pairs."""

    def __call__(self, rollouts: Rollouts, scores: Scores) -> EnergyTerms:
        shape = (*rollouts.completions.shape[:3], rollouts.samples)
        pairwise = torch.randn(shape, generator=seeded(2))
        pairwise = (pairwise + pairwise.mT) * (1 - torch.eye(rollouts.samples))
        return EnergyTerms(torch.zeros(shape[:3]), pairwise, {"pairs": torch.ones(shape[:2])})


def test_terms_by_hand() -> None:
    terms = EnergyTerms(UNARY, PAIRWISE)
    assert terms.samples == 3
    assert terms.per_sample().tolist() == [[[1 + 15, 2 + 25, 6 + 30]]]
    # Mean of the unary, and half the mean over the six ordered pairs.
    assert terms.functional().item() == pytest.approx(3 + 0.5 * 140 / 6)


def test_terms_without_pairs() -> None:
    terms = EnergyTerms(UNARY)
    assert torch.equal(terms.per_sample(), UNARY)
    assert terms.functional().tolist() == [[3.0]]
    alone = EnergyTerms(UNARY[..., :1], torch.zeros(1, 1, 1, 1))
    for value in (alone.per_sample, alone.functional):
        with pytest.raises(UserError, match="1 sample per anchor"):
            value()


def test_terms_add_and_scale() -> None:
    one = EnergyTerms(UNARY, PAIRWISE, {"one": torch.ones(1, 1)})
    other = EnergyTerms(10 * UNARY, metrics={"other": torch.zeros(1, 1)})
    for total in (one + other, other + one):
        assert torch.equal(total.unary, 11 * UNARY)
        assert total.pairwise is not None
        assert torch.equal(total.pairwise, PAIRWISE)
        assert set(total.metrics) == {"one", "other"}
    twice = one + one
    assert twice.pairwise is not None
    assert torch.equal(twice.pairwise, 2 * PAIRWISE)
    assert (other + other).pairwise is None
    for scaled in (3 * one, one * 3):
        assert torch.equal(scaled.unary, 3 * UNARY)
        assert scaled.pairwise is not None
        assert torch.equal(scaled.pairwise, 3 * PAIRWISE)
        assert scaled.metrics["one"] == 1
        torch.testing.assert_close(scaled.per_sample(), 3 * one.per_sample())
        torch.testing.assert_close(scaled.functional(), 3 * one.functional())
    assert (3 * other).pairwise is None


def test_energies_add_and_scale() -> None:
    rollouts = _rollouts()
    scores = _scores(rollouts)
    energy = _Pairs() + 0.5 * KLEnergy() + _Pairs() * 2.0
    terms = energy(rollouts, scores)
    kl, pairs = KLEnergy()(rollouts, scores), _Pairs()(rollouts, scores)
    torch.testing.assert_close(terms.unary, 0.5 * kl.unary)
    assert terms.pairwise is not None
    assert pairs.pairwise is not None
    torch.testing.assert_close(terms.pairwise, 3 * pairs.pairwise)
    assert set(terms.metrics) == {"kl", "pairs"}
    torch.testing.assert_close(terms.metrics["kl"], kl.metrics["kl"])


def test_sums_of_sums_are_flat() -> None:
    parts = [_Pairs(), KLEnergy(), _Pairs(), KLEnergy()]
    nested = SumEnergy([parts[0] + parts[1], parts[2] + parts[3]])
    assert nested.energies == tuple(parts)
    assert (parts[0] + (parts[1] + parts[2])).energies == tuple(parts[:3])  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="a sum of no energies"):
        SumEnergy([])


def test_a_part_that_needs_a_reference_makes_the_whole_need_one() -> None:
    assert not _Pairs().needs_reference
    assert not (_Pairs() + 2.0 * _Pairs()).needs_reference
    assert ScaledEnergy(KLEnergy(), 0.1).needs_reference
    assert (_Pairs() + 0.1 * KLEnergy()).needs_reference


class _Biased(_Pairs):
    def __init__(self, bias: str) -> None:
        self._bias = bias

    @property
    def bias(self) -> str | None:
        return self._bias


def test_a_part_that_declares_a_bias_makes_the_whole_declare_it() -> None:
    assert _Pairs().bias is None
    assert (_Pairs() + 2.0 * KLEnergy()).bias is None
    assert ScaledEnergy(_Biased("too low"), 0.1).bias == "too low"
    one, two, again = _Biased("too low"), 3.0 * _Biased("too late"), _Biased("too low")
    assert (_Pairs() + one).bias == "too low"
    # Each reason once, in the order of the parts.
    assert (one + KLEnergy() + two + again).bias == "too low; too late"


def _sum(values: Tensor) -> Tensor:
    return values.sum(-1).float()


def test_functions_compose_with_the_others() -> None:
    rollouts = _rollouts()
    energy = 2.0 * FunctionEnergy(lambda drawn: _sum(drawn.completion_mask)) + _Pairs()
    assert (energy(rollouts, _scores(rollouts)).unary == 4).all()
