"""From a recipe to an objective."""

from __future__ import annotations

import inspect
from collections.abc import Callable

from ebmlm.errors import UserError
from ebmlm.language_model import LanguageModel
from ebmlm.objectives.base import Objective
from ebmlm.texts import Texts

__all__ = ["built_objective"]


def built_objective(
    recipe: Callable[[LanguageModel, Texts], Objective], policy: LanguageModel, texts: Texts
) -> Objective:
    """Return what a recipe makes of the policy and the run's texts.

    Raises:
        UserError: for a recipe that cannot be called with these two.
    """
    try:
        inspect.signature(recipe).bind(policy, texts)
    except TypeError as error:
        raise UserError(
            f"objective {recipe!r} cannot be called with the policy and the run's"
            f" texts ({error}): a recipe takes these two, then options by keyword"
        ) from error
    return recipe(policy, texts)
