"""Anchors that need the policy, by the names that configurations use."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest

from ebmlm.cli.parsing import pipeline_from
from ebmlm.cli.train import pipeline_of, training_parser
from ebmlm.errors import UserError
from ebmlm.objectives import PolicyObjective, recipes
from ebmlm.objectives.anchor_recipes import placed, surprising_anchors
from ebmlm.samplers import BlockParallelSampler, StridedAnchors, SurprisingAnchors
from ebmlm.testing import TabularLanguageModel
from ebmlm.texts import Texts

MODEL = TabularLanguageModel(3, 2, hidden=4)
TEXTS = Texts(cast(Any, None), {})
DEFAULT, OTHER = StridedAnchors(3, 2), StridedAnchors(2, 2)
HARDEST = partial(surprising_anchors, candidates=OTHER, share=0.25)

CONFIG = """
data:
  class_path: ebmlm.data.TextData
  init_args:
    source: ebmlm.data.StandardLibrary
objective:
  class_path: ebmlm.recipes.EBFT
  init_args:
    anchors:
      class_path: ebmlm.recipes.SurprisingAnchors
      init_args:
        candidates: {class_path: ebmlm.samplers.StridedAnchors, init_args: {stride: 2}}
        share: 0.25
"""


def test_a_placement_a_recipe_or_the_default() -> None:
    assert placed(MODEL, None, None, DEFAULT) is DEFAULT
    assert placed(MODEL, None, OTHER, DEFAULT) is OTHER
    made = placed(MODEL, TEXTS, HARDEST, DEFAULT)
    assert isinstance(made, SurprisingAnchors)
    assert (made.candidates, made.share) == (OTHER, 0.25)
    with pytest.raises(UserError, match="anchors are given by a recipe and texts are not"):
        placed(MODEL, None, HARDEST, DEFAULT)


def test_the_network_is_the_policy_as_it_is_now() -> None:
    made = HARDEST(MODEL, TEXTS)
    assert made.network is not MODEL
    assert not any(one.requires_grad for one in made.network.module.parameters())


def anchors_of(objective: Any) -> Any:
    assert isinstance(objective, PolicyObjective)
    assert isinstance(objective.sampler, BlockParallelSampler)
    return objective.sampler.anchors


@pytest.mark.parametrize("recipe", [recipes.ebft, recipes.ebft_unbiased, recipes.mmd])
def test_recipes_take_it(recipe: Any) -> None:
    assert isinstance(anchors_of(recipe(MODEL, TEXTS, anchors=HARDEST)), SurprisingAnchors)
    assert anchors_of(recipe(MODEL, anchors=OTHER)) is OTHER
    assert anchors_of(recipe(MODEL, stride=5, context=3)) == StridedAnchors(5, 3)


def test_configurations_name_either(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG, encoding="utf-8")

    def built(*changes: str) -> Any:
        given = pipeline_from(training_parser("test", ""), [str(path), *changes])
        return anchors_of(pipeline_of(given).objective(MODEL, TEXTS))

    made = built()
    assert isinstance(made, SurprisingAnchors)
    assert (made.candidates, made.share) == (StridedAnchors(2), 0.25)
    plain = built("--objective.anchors", "StridedAnchors", "--objective.anchors.stride", "5")
    assert plain == StridedAnchors(5)
