"""Feature maps are found wherever an energy holds them."""

from __future__ import annotations

from typing import Any

import pytest

from ebmlm.energies import Energy, EnergyTerms, FeatureMatchingEnergy, KLEnergy, LengthEnergy
from ebmlm.errors import UserError
from ebmlm.exploration import chosen_look, looks_of
from ebmlm.exploration.parts import weighted_parts
from ebmlm.features import FeatureMap, Features
from ebmlm.rollouts import Rollouts, Scores


class Nothing(FeatureMap):
    def __call__(self, rollouts: Rollouts) -> Features:
        raise NotImplementedError


class Doubled(Nothing):
    def __init__(self, inside: FeatureMap) -> None:
        self.inside = inside


class Kernel:
    """Holds two feature maps in a list, and itself."""

    def __init__(self, *maps: FeatureMap) -> None:
        self.maps = list(maps)
        self.itself: Any = self


class KernelEnergy(Energy):
    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel

    def __call__(self, rollouts: Rollouts, scores: Scores) -> EnergyTerms:
        raise NotImplementedError


def test_sums_and_factors_are_taken_apart() -> None:
    one, two, three = KLEnergy(), LengthEnergy(), FeatureMatchingEnergy(Nothing())
    whole = 2 * (one + 3 * two) + three
    assert weighted_parts(whole) == ((one, 2), (two, 6), (three, 1))
    assert weighted_parts(one) == ((one, 1),)


def test_maps_are_found_in_order_and_as_wholes() -> None:
    first, second, third = Nothing(), Doubled(Nothing()), Nothing()
    energy = KLEnergy() + 0.5 * FeatureMatchingEnergy(first) + KernelEnergy(Kernel(second, third))
    looks = looks_of(energy)
    assert [look.features for look in looks] == [first, second, third]
    assert [look.part for look in looks] == [1, 2, 2]
    assert isinstance(looks[0].energy, FeatureMatchingEnergy)
    assert chosen_look(energy).features is first
    assert chosen_look(energy, 3).features is third
    for number in (0, 4):
        with pytest.raises(UserError, match=f"feature map {number} is asked .*2 Doubled, 3"):
            chosen_look(energy, number)


def test_an_energy_without_any_is_refused() -> None:
    with pytest.raises(UserError, match=r"no feature map .*\(KLEnergy, LengthEnergy\)"):
        chosen_look(KLEnergy() + LengthEnergy())
