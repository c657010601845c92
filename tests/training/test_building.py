"""Recipes are called, or refused by name."""

from __future__ import annotations

from typing import Any, cast

import pytest

from ebmlm.errors import UserError
from ebmlm.objectives import CrossEntropy, Objective
from ebmlm.testing import TabularLanguageModel
from ebmlm.texts import Texts
from ebmlm.training.building import built_objective


def test_a_recipe_gets_the_policy_and_the_texts() -> None:
    policy, texts = TabularLanguageModel(3, 2), Texts(cast(Any, None), {})
    given: list[object] = []

    def recipe(*arguments: object) -> Objective:
        given.extend(arguments)
        return CrossEntropy()

    assert isinstance(built_objective(recipe, policy, texts), CrossEntropy)
    assert given == [policy, texts]

    def narrow(policy: object) -> Objective:
        raise AssertionError("called")

    with pytest.raises(UserError, match=r"narrow.* cannot be called .*too many positional"):
        built_objective(cast(Any, narrow), policy, texts)
