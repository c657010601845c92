"""One line per part: reports, declarations, exemptions."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import Tensor

from ebmlm.distribution import Categorical
from ebmlm.energies import Energy, EnergyTerms, FunctionEnergy
from ebmlm.errors import UserError
from ebmlm.estimators import (
    RLOO,
    Estimate,
    Estimator,
    GroupNorm,
    Reinforce,
    mean_token_log_prob,
    policy_gradient,
    sequence_log_prob,
)
from ebmlm.objectives import recipes
from ebmlm.rollouts import Rollouts, Scores
from ebmlm.samplers import BlockParallelSampler, StridedAnchors
from ebmlm.testing import (
    BrokenLaws,
    Outcome,
    check_energy,
    check_estimator,
    check_language_model,
    check_objective,
    check_sampler,
    measure_bias,
    tiny_transformer,
)
from ebmlm.testing.bugs.estimators import CreditAfterTheEnd, GroupMeanBaseline, NaiveLeaveOneOut


class _Halved(Estimator):
    """Half the energy: the gradient of half the functional."""

    def __call__(self, log_probs: Tensor, terms: EnergyTerms, rollouts: Rollouts) -> Estimate:
        halves = terms.per_sample() / 2
        return policy_gradient(log_probs, halves, rollouts, sequence_log_prob)


def test_a_report_says_what_holds() -> None:
    report = check_estimator(RLOO())
    assert report.implementation == "RLOO"
    assert check_estimator(RLOO(), name="mine", examples=3).implementation == "mine"
    assert {found.outcome for found in report.findings} == {Outcome.HOLDS}
    lines = str(report).splitlines()
    assert lines[0] == "RLOO"
    assert len(lines) == 1 + len(report.findings)
    assert not report.broken


def test_all_broken_laws_are_told_at_once() -> None:
    with pytest.raises(BrokenLaws, match="2 of 11 laws broken") as caught:
        check_estimator(CreditAfterTheEnd())
    told = str(caught.value)
    for words in (
        "CreditAfterTheEnd",
        "no_credit_after_the_end: Tokens after the end of a rollout get no gradient",
        "padding_moves_no_gradient",
        "found:",
        "expected:",
        "anchor 1 of sequence 0: rollouts",
    ):
        assert words in told
    assert "Failing test case" not in told
    assert "exempt=" in told
    assert len(caught.value.report.broken) == 2
    assert isinstance(caught.value, AssertionError)


def test_a_declared_bias_is_reported_in_numbers() -> None:
    report = check_estimator(GroupNorm())
    declared = {
        found.law: found.detail for found in report.findings if found.outcome is Outcome.DECLARED
    }
    assert set(declared) == {"unbiased", "baseline_excludes_its_own_sample"}
    assert "contain the sample" in declared["unbiased"]
    assert "off by 0." in declared["unbiased"]
    assert "as declared" in str(report)


def test_bias_by_hand() -> None:
    """A group's mean with the sample itself in it makes every gradient half as long for N = 2."""
    exact, halved = measure_bias(RLOO()), measure_bias(_Halved())
    assert exact.relative < 1e-12
    assert str(exact) == "exact to rounding"
    assert halved.relative == pytest.approx(0.5, abs=1e-12)
    assert halved.angle == pytest.approx(0, abs=1e-12)
    assert measure_bias(GroupMeanBaseline()).relative == pytest.approx(0.5, abs=0.2)
    assert measure_bias(RLOO(mean_token_log_prob)).angle > 1e-3
    assert "off by 0.5 of its length" in str(halved)


def test_another_functional_may_be_declared() -> None:
    def half(probabilities: Tensor, unary: Tensor, pairwise: Tensor | None) -> Tensor:
        value = probabilities @ unary / 2
        if pairwise is None:
            return value
        return value + torch.einsum("c, c d, d ->", probabilities, pairwise, probabilities) / 4

    check_estimator(_Halved(), functional=half)
    with pytest.raises(BrokenLaws, match="1 of 11 laws broken\n\nunbiased"):
        check_estimator(_Halved())


def test_exemptions_are_for_laws_that_there_are() -> None:
    reason = "told in the paper"
    exempt = {"unbiased": reason, "baseline_excludes_its_own_sample": reason}
    report = check_estimator(NaiveLeaveOneOut(), exempt=exempt)
    declared = [found for found in report.findings if found.outcome is Outcome.DECLARED]
    assert [found.detail for found in declared] == [reason, reason]
    with pytest.raises(UserError, match=r"no law 'unbaised' .* unbiased"):
        check_estimator(NaiveLeaveOneOut(), exempt={"unbaised": reason})
    # Which holds it is not needed for is told, and is no fault.
    assert not check_estimator(RLOO(), exempt=exempt).broken


class _Crashing(Energy):
    def __call__(self, rollouts: Rollouts, scores: Scores) -> EnergyTerms:
        raise KeyError("tokeniser")


def test_an_exception_breaks_a_law_even_if_it_is_exempt() -> None:
    with pytest.raises(BrokenLaws, match="KeyError: 'tokeniser'"):
        check_energy(_Crashing(), exempt={"first_variation": "no matter"})


def test_energies_of_a_larger_vocabulary() -> None:
    """Token ids up to the one named are asked about, and none above."""
    seen = set()

    def parity(rollouts: Rollouts) -> Tensor:
        seen.update(rollouts.completions.flatten().tolist())
        return ((rollouts.completions % 2) * rollouts.token_mask()).sum(-1).double()

    check_energy(FunctionEnergy(parity), vocabulary=50)
    assert max(seen) >= 30
    assert max(seen) < 50


def test_horizons_that_cannot_be_listed_are_refused() -> None:
    with pytest.raises(UserError, match="horizon is 64"):
        check_sampler(BlockParallelSampler(horizon=64))
    with pytest.raises(UserError, match="no anchor in 512 tokens"):
        check_sampler(BlockParallelSampler(StridedAnchors(8, 600), 2))


def test_objectives_too_large_to_list_are_told_so() -> None:
    report = check_objective(recipes.ebft_unbiased)
    (found,) = (found for found in report.findings if found.law == "expected_gradient_descends")
    assert found.outcome is Outcome.DOES_NOT_APPLY
    assert found.detail == "4 rollouts of 8 tokens are too many to list"


def test_a_model_in_single_precision() -> None:
    model = tiny_transformer("qwen2", vocabulary=7, end_tokens=(3,), num_key_value_heads=2)
    model.model.float()
    assert not check_language_model(model, examples=10).broken


def test_it_needs_no_pytest() -> None:
    program = (
        "import sys\n"
        "from ebmlm import Reinforce\n"
        "from ebmlm.testing import check_estimator\n"
        "print(check_estimator(Reinforce(), examples=5))\n"
        "assert not any(name.startswith(('pytest', '_pytest')) for name in sys.modules)\n"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "holds          unbiased" in run.stdout


def test_the_package_is_light_without_it() -> None:
    program = "import sys, ebmlm; assert 'hypothesis' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


def test_with_distribution_keeps_the_rest() -> None:
    sampler = BlockParallelSampler(StridedAnchors(3, 2), 5, 3)
    other = sampler.with_distribution(Categorical(0.3))
    assert (other.horizon, other.samples, other.anchors) == (5, 3, StridedAnchors(3, 2))
    assert other.distribution == Categorical(0.3)
    assert sampler.distribution == Categorical()
    assert not check_estimator(Reinforce(1.0), examples=5).broken
