"""Which feature maps an energy looks through, wherever they stand in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from ebmlm.energies.base import Energy, ScaledEnergy, SumEnergy
from ebmlm.errors import UserError
from ebmlm.features.base import FeatureMap
from ebmlm.language_model import LanguageModel

__all__ = ["Look", "chosen_look", "looks_of", "weighted_parts"]


@dataclass(frozen=True, eq=False)
class Look:
    """A feature map, and the part of the objective's energy that looks through it.

    Attributes:
        part: the place of that energy among ``weighted_parts``.
        energy: the energy, without its factor.
        features: the feature map.
    """

    part: int
    energy: Energy
    features: FeatureMap


def weighted_parts(energy: Energy, factor: float = 1.0) -> tuple[tuple[Energy, float], ...]:
    """Return the energies that ``energy`` is the sum of, in order, each with its factor."""
    if isinstance(energy, SumEnergy):
        return tuple(part for each in energy.energies for part in weighted_parts(each, factor))
    if isinstance(energy, ScaledEnergy):
        return weighted_parts(energy.energy, factor * energy.factor)
    return ((energy, factor),)


def looks_of(energy: Energy) -> tuple[Look, ...]:
    """Return every feature map that ``energy`` holds, itself or in a part such as a kernel.

    A feature map that is made of others counts as one.
    """
    return tuple(
        Look(place, part, features)
        for place, (part, _) in enumerate(weighted_parts(energy))
        for features in _maps(part, set())
    )


def chosen_look(energy: Energy, number: int = 1) -> Look:
    """Return one of :func:`looks_of`, counted from 1.

    Raises:
        UserError: if there is none, or not so many.
    """
    looks = looks_of(energy)
    if not looks:
        names = ", ".join(type(part).__name__ for part, _ in weighted_parts(energy))
        raise UserError(
            f"no feature map in this objective's energy ({names}): there is nothing to draw; take"
            " an objective that matches features, such as ebmlm.recipes.EBFT"
        )
    if not 1 <= number <= len(looks):
        there = ", ".join(
            f"{place} {type(look.features).__name__}" for place, look in enumerate(looks, start=1)
        )
        raise UserError(f"feature map {number} is asked for and there are these: {there}")
    return looks[number - 1]


def _maps(part: Any, seen: set[int]) -> Iterator[FeatureMap]:
    if isinstance(part, (str, bytes, Tensor, nn.Module, LanguageModel, type)) or id(part) in seen:
        return
    seen.add(id(part))
    if isinstance(part, FeatureMap):
        yield part
        return
    inside = part if isinstance(part, (list, tuple)) else getattr(part, "__dict__", {}).values()
    for value in inside:
        yield from _maps(value, seen)
