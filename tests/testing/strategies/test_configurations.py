"""Parts and options that go together, and all of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample

from ebmlm.distribution import Categorical
from ebmlm.estimators import Estimator, mean_token_log_prob, sequence_log_prob
from ebmlm.features import Features, Pooling, Whitening
from ebmlm.objectives import recipes
from ebmlm.rollouts import SequenceBatch
from ebmlm.testing import TabularLanguageModel
from ebmlm.testing.strategies import (
    distributions,
    ebft_options,
    estimators,
    features,
    poolings,
    texts_of_length,
    whitenings,
)
from tests.helpers import seeded
from tests.testing.strategies.occurring import occurring, smallest


def ours(base: type[Any]) -> list[type[Any]]:
    """Implementations of a base in the package, those of the test kit left out."""
    return [
        part
        for part in base.__subclasses__()
        if part.__module__.startswith("ebmlm.") and not part.__module__.startswith("ebmlm.testing")
    ]


@pytest.mark.parametrize("part", ours(Pooling))
def test_every_pooling_is_drawn(part: type) -> None:
    occurring(poolings(), lambda drawn: type(drawn) is part)


CREDITED = [one for one in ours(Estimator) if "credit" in inspect.signature(one).parameters]


@pytest.mark.parametrize("part", CREDITED)
@pytest.mark.parametrize("credit", [sequence_log_prob, mean_token_log_prob])
def test_every_estimator_with_a_credit_is_drawn_with_either(
    part: type[Any], credit: object
) -> None:
    def drawn(estimator: Any) -> bool:
        return type(estimator) is part and estimator.credit is credit

    occurring(estimators(), drawn)


@given(whitenings(), features())
def test_whitenings_see_one_anchor_at_a_time(whitening: Whitening, drawn: Features) -> None:
    rows, places = drawn.rollouts.shape[:2]
    whole = whitening(drawn, torch.ones(rows, places, dtype=torch.bool))
    assert drawn.references is not None
    for row in range(rows):
        for place in range(places):
            alone = Features(
                drawn.rollouts[row : row + 1, place : place + 1],
                drawn.references[row : row + 1, place : place + 1],
                drawn.blocks,
            )
            for found, expected in zip(
                whitening(alone, torch.ones(1, 1, dtype=torch.bool)), whole, strict=True
            ):
                torch.testing.assert_close(found[0, 0], expected[row, place])


@pytest.mark.parametrize("part", ours(Whitening))
def test_every_whitening_is_drawn_that_has_no_metric_in_common(part: type) -> None:
    if "Metric" in part.__name__:
        with pytest.raises(NoSuchExample):
            occurring(whitenings(), lambda drawn: type(drawn) is part)
    else:
        occurring(whitenings(), lambda drawn: type(drawn) is part)


KINDS: dict[str, Callable[[Any], object]] = {
    "plain": lambda drawn: drawn == Categorical(),
    "cold": lambda drawn: drawn.temperature < 1,
    "hot": lambda drawn: drawn.temperature > 1,
}
TRUNCATED: dict[str, Callable[[Any], object]] = {
    **KINDS,
    "top-p": lambda drawn: drawn.top_p is not None,
    "top-k": lambda drawn: drawn.top_k == 2,
    "certain": lambda drawn: drawn.top_k == 1,
}


@pytest.mark.parametrize("kind", TRUNCATED)
def test_every_kind_of_distribution_occurs(kind: str) -> None:
    occurring(distributions(truncated=True), TRUNCATED[kind])
    if kind in KINDS:
        occurring(distributions(), KINDS[kind])


@given(distributions())
def test_nothing_is_truncated_unless_asked_for(drawn: Any) -> None:
    assert drawn.top_k is None
    assert drawn.top_p is None


def test_options_are_all_that_the_recipe_takes() -> None:
    parameters = inspect.signature(recipes.ebft).parameters
    assert set(smallest(ebft_options())) == set(parameters) - {
        "model",
        "network",
        "texts",
        "features",
    }


@given(ebft_options(), texts_of_length(3, 6), st.integers(0, 9))
def test_the_recipe_takes_them_and_has_a_finite_loss(
    options: dict[str, Any], batch: SequenceBatch, seed: int
) -> None:
    model = TabularLanguageModel(3, 3, end_tokens=[1], layers=2, hidden=3, generator=seeded(0))
    objective = recipes.ebft(model, **options)
    estimate = objective.loss(model, batch, generator=seeded(seed))
    assert estimate.loss.isfinite()
    assert all(metric.isfinite() for metric in estimate.metrics.values())
    estimate.loss.backward()
    assert model.logits.grad is not None
    assert model.logits.grad.isfinite().all()


@pytest.mark.parametrize("name", smallest(ebft_options()))
def test_every_option_has_several_values(name: str) -> None:
    first = smallest(ebft_options())[name]
    occurring(ebft_options(), lambda options: options[name] != first)


def test_options_shrink_to_the_simplest() -> None:
    options = smallest(ebft_options())
    assert {name: options[name] for name in ("horizon", "stride", "context", "samples")} == {
        "horizon": 1,
        "stride": 1,
        "context": 1,
        "samples": 2,
    }
    assert options["distribution"] == Categorical()
    assert options["kl"] == options["cross_entropy"] == 0
