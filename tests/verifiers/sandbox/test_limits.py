"""Limits refuse nonsense."""

from __future__ import annotations

import dataclasses
import json

import pytest

from ebmlm.errors import UserError
from ebmlm.verifiers import Limits


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Limits)])
@pytest.mark.parametrize("value", [-1, 1 << 60, True, "5", None, float("nan"), float("inf")])
def test_nonsense_is_refused_by_name(name, value):
    with pytest.raises(UserError, match=f"{name} is"):
        Limits(**{name: value})


def test_only_the_wall_may_be_a_fraction():
    assert Limits(wall_seconds=0.5).wall_seconds == 0.5
    with pytest.raises(UserError, match="whole number"):
        Limits(cpu_seconds=1.5)  # type: ignore[arg-type]


def test_limits_travel_as_json():
    assert Limits(**json.loads(json.dumps(Limits().as_dict()))) == Limits()
