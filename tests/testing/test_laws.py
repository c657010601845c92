"""Every law on everything that the package has, and what a law is like when it fails."""

from __future__ import annotations

import pytest
import torch
from hypothesis import strategies as st
from torch import Tensor

from ebmlm.energies import EnergyTerms
from ebmlm.estimators import RLOO, Estimate, Estimator, Reinforce
from ebmlm.rollouts import Rollouts
from ebmlm.testing import bugs, laws
from ebmlm.testing.catalogue import KINDS, Kind
from ebmlm.testing.laws.cases import Judged, judged_rollouts
from ebmlm.testing.laws.estimator import ESTIMATOR_LAWS, constants_cancel, loss_is_finite
from ebmlm.testing.laws.expectation import unbiased
from ebmlm.testing.laws.proof import (
    DoesNotApply,
    Draw,
    LawViolation,
    cases_tried,
    for_all,
    require_equal,
    tolerance,
)
from ebmlm.testing.report import Outcome, first_sentence

# Enough to break what is wrong; ``python -m ebmlm.testing`` tries more, without shape checks.
FEW = 20
OURS = [(kind, name) for kind in KINDS for name in kind.implementations]


@pytest.mark.parametrize(("kind", "name"), OURS, ids=[f"{kind.name}: {n}" for kind, n in OURS])
def test_every_law_holds_on_ours(kind: Kind, name: str) -> None:
    report = kind.judge(name, FEW)
    assert [found.law for found in report.findings] == [law.__name__ for law in kind.laws]
    holding = [found for found in report.findings if found.outcome is Outcome.HOLDS]
    assert len(holding) >= len(kind.laws) // 2
    for found in report.findings:
        assert found.outcome is Outcome.HOLDS or found.detail


def test_the_catalogue_has_every_kind_of_law_and_bug() -> None:
    listed = {name for name in laws.__all__ if name.endswith("_LAWS")}
    assert {tuple(getattr(laws, name)) for name in listed} == {kind.laws for kind in KINDS}
    wrong = {name for name in bugs.__all__ if name.endswith("_BUGS")}
    assert {tuple(getattr(bugs, name)) for name in wrong} == {kind.bugs for kind in KINDS}


@pytest.mark.parametrize("law", ESTIMATOR_LAWS, ids=lambda law: law.__name__)
def test_a_law_is_one_line_under_pytest(law) -> None:
    law(RLOO())


def test_laws_say_what_they_say_in_one_sentence() -> None:
    sentences = [first_sentence(law) for kind in KINDS for law in kind.laws]
    assert len(set(sentences)) == len(sentences)
    assert all(sentence.endswith(".") for sentence in sentences)


def test_what_does_not_apply_is_no_failure() -> None:
    with pytest.raises(DoesNotApply, match="one sample"):
        constants_cancel(Reinforce())


class _Odd(Estimator):
    """Loses its gradient for two samples with different energies."""

    def __call__(self, log_probs: Tensor, terms: EnergyTerms, rollouts: Rollouts) -> Estimate:
        different = bool((terms.unary.amax(-1) > terms.unary.amin(-1)).any())
        return Estimate(log_probs.sum() * (torch.nan if different else 1.0))


def test_the_counterexample_is_a_small_one() -> None:
    with pytest.raises(LawViolation, match="loss is nan") as caught:
        loss_is_finite(_Odd())
    notes = str(caught.value)
    # One sequence of zeros, one or two anchors, two rollouts of one token, energies that differ.
    assert notes.count("sequence 0 (id 0): 0 0\n") == 1
    assert "sequence 1" not in notes
    assert 1 <= notes.count("rollouts 0; 0;") <= 2
    unary = notes.split("unary ")[1].splitlines()[0]
    assert set(unary.replace("[", "").replace("]", "").split()) == {"0", "0.5"}


def test_the_same_cases_are_tried_every_time() -> None:
    told = []
    for _ in range(2):
        with pytest.raises(LawViolation) as caught:
            unbiased(_Odd())
        told.append(str(caught.value))
    assert told[0] == told[1]


def test_examples_are_tried_as_many_as_asked() -> None:
    seen: list[Judged] = []

    def holds(draw: Draw) -> None:
        seen.append(draw(judged_rollouts()))

    before = cases_tried()
    for_all(holds, 7)
    assert len(seen) == 7
    assert cases_tried() - before == 7


def test_an_exception_of_the_implementation_is_its_own() -> None:
    def holds(draw: Draw) -> None:
        if draw(st.integers(0, 9)) > 3:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        for_all(holds, 30)


def test_tensors_agree_to_rounding_or_not() -> None:
    require_equal(torch.tensor([1.0]), torch.tensor([1.0 + 1e-6]), "it")
    with pytest.raises(LawViolation, match=r"it: off by 0.1"):
        require_equal(torch.tensor([1.0]), torch.tensor([1.1]), "it")
    one = torch.ones((), dtype=torch.float64)
    with pytest.raises(LawViolation, match=r"off by 1e-06"):
        require_equal(one, one + 1e-6, "it")
    with pytest.raises(LawViolation, match=r"shape \(1,\) instead of \(2,\)"):
        require_equal(torch.zeros(1), torch.zeros(2), "it")
    wide = torch.zeros(10, 20)
    other = wide.clone()
    other[3, 7] = 2.0
    with pytest.raises(LawViolation) as caught:
        require_equal(other, wide, "it")
    assert str(caught.value) == ("it (of 200, at [3, 7]): off by 2\n  found:    2\n  expected: 0")
    # What is not a number equals only what is not a number either.
    require_equal(torch.tensor([torch.nan, torch.inf]), torch.tensor([torch.nan, torch.inf]), "it")
    with pytest.raises(LawViolation, match="off by inf"):
        require_equal(torch.tensor([torch.nan]), torch.tensor([0.0]), "it")
    assert tolerance(torch.tensor([100.0])) == pytest.approx(100 * 1.2e-7**0.5, rel=0.01)
