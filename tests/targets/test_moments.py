"""Moments that are met: exact on listed completions, and honest about what cannot be."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from ebmlm.energies import LinearEnergy
from ebmlm.errors import UserError
from ebmlm.features import FeatureMap, Features
from ebmlm.features.function import FunctionFeatures
from ebmlm.rollouts import Rollouts, SequenceBatch
from ebmlm.samplers import AutoregressiveSampler, GivenAnchors
from ebmlm.targets import EnergyModel, fit_moments, solve_moments
from tests.exact import ANCHOR, TEXT, Toy
from tests.helpers import seeded
from tests.targets.toys import exact

TOY = Toy(vocabulary=3)


class Listed(FeatureMap):
    """Random features of each completion of the toy, by its tokens."""

    def __init__(self, width: int = 2) -> None:
        self.table = torch.randn(9, width, generator=seeded(3), dtype=torch.float64)

    @property
    def blocks(self) -> tuple[int, ...]:
        return (self.table.shape[1],)

    def __call__(self, rollouts: Rollouts) -> Features:
        index = rollouts.completions[..., 0] * 3 + rollouts.completions[..., 1]
        return Features(self.table[index], None, self.blocks)


def everything() -> tuple[Tensor, Tensor]:
    """Features (1, completion, feature) of all completions, each with its log-probability."""
    groups = TOY.groups(1)
    log_probs = TOY.log_probabilities(TOY.reference).detach()
    return Listed()(groups).rollouts[:, 0, 0].unsqueeze(0), log_probs.unsqueeze(0)


def test_the_target_has_the_moments_exactly() -> None:
    features, log_probs = everything()
    wanted = torch.tensor([0.3, -0.2], dtype=torch.float64)
    fit = solve_moments(features, wanted, log_weights=log_probs, tolerance=1e-10)
    target = EnergyModel(TOY.reference, LinearEnergy(Listed(), fit.coefficients))
    log_target, log_partition = exact(TOY, target)
    torch.testing.assert_close(log_target.exp() @ features[0], wanted, atol=1e-9, rtol=0)
    assert fit.divergence == pytest.approx(
        float(log_target.exp() @ (log_target - log_probs[0])), abs=1e-9
    )
    # The weights are probabilities here, so that their sum is what a mean of N draws estimates.
    count = torch.tensor(9.0, dtype=torch.float64).log()
    torch.testing.assert_close(fit.partition.log_partition[0, 0] + count, log_partition)


def test_nothing_that_has_the_moments_is_nearer() -> None:
    """Pythagoras of the information projection: KL(q | p) = KL(q | t) + KL(t | p)."""
    features, log_probs = everything()
    other = torch.randn(1, 9, generator=seeded(5), dtype=torch.float64).log_softmax(-1)
    wanted = other[0].exp() @ features[0]
    fit = solve_moments(features, wanted, log_weights=log_probs, tolerance=1e-9)
    tilted = (log_probs[0] + features[0] @ fit.coefficients).log_softmax(-1)
    to_tilt = float(other[0].exp() @ (other - tilted)[0])
    to_model = float(other[0].exp() @ (other - log_probs)[0])
    assert to_tilt > 0.01
    assert to_model == pytest.approx(to_tilt + fit.divergence, abs=1e-8)


def test_contexts_share_coefficients_and_meet_moments_on_average() -> None:
    features = torch.randn(4, 50, 2, generator=seeded(1), dtype=torch.float64)
    wanted = torch.tensor([0.5, 0.4], dtype=torch.float64)
    fit = solve_moments(features, wanted, names=["one", "two"])
    shares = (features @ fit.coefficients).softmax(-1).unsqueeze(-1)
    torch.testing.assert_close((shares * features).sum(1).mean(0), wanted, atol=1e-5, rtol=0)
    torch.testing.assert_close(fit.achieved, wanted, atol=1e-5, rtol=0)
    assert (fit.partition.effective_samples < 50).all()
    assert (fit.standard_errors > 0).all()
    assert "one: " in str(fit) and "effective samples" in str(fit)


def test_units_of_features_do_not_matter() -> None:
    features = torch.randn(3, 40, 2, generator=seeded(2), dtype=torch.float64)
    wanted = torch.tensor([0.3, -0.3], dtype=torch.float64)
    units = torch.tensor([1e-4, 1e5], dtype=torch.float64)
    plain = solve_moments(features, wanted, tolerance=1e-9)
    scaled = solve_moments(features * units, wanted * units, tolerance=1e-9)
    torch.testing.assert_close(scaled.coefficients * units, plain.coefficients)


def test_the_standard_error_is_that_of_fresh_draws() -> None:
    """Fits to many sets of draws: how their tilts' exact moment scatters about what is wanted."""
    features, log_probs = everything()
    wanted = torch.tensor([0.3], dtype=torch.float64)
    found, errors = [], []
    for seed in range(300):
        index = torch.multinomial(
            log_probs.exp(), 400, replacement=True, generator=torch.Generator().manual_seed(seed)
        )
        fit = solve_moments(features[0, index][..., :1], wanted)
        tilted = (log_probs[0] + features[0, :, :1] @ fit.coefficients).softmax(-1)
        found.append(float(tilted @ features[0, :, 0]))
        errors.append(float(fit.standard_errors))
    scatter = float(torch.tensor(found).std())
    assert scatter == pytest.approx(sum(errors) / len(errors), rel=0.15)
    assert sum(found) / len(found) == pytest.approx(0.3, abs=4 * scatter / 300**0.5 + 0.005)


def test_a_moment_out_of_reach_is_named() -> None:
    features = torch.rand(3, 20, 2, generator=seeded(4), dtype=torch.float64)
    with pytest.raises(UserError, match=r"'warmth' is to be 1\.5 .* out of reach"):
        solve_moments(features, torch.tensor([0.5, 1.5]), names=["light", "warmth"])
    binary = (features > 0.5).double()
    with pytest.raises(UserError, match="hard constraint"):
        solve_moments(binary, torch.tensor([0.5, 1.0]), names=["light", "warmth"])


def test_moments_that_contradict_each_other_are_named_together() -> None:
    one = torch.rand(3, 50, 1, generator=seeded(6), dtype=torch.float64)
    features = torch.cat([one, 1 - one], -1)
    with pytest.raises(UserError, match="'a', 'b' cannot be met together"):
        solve_moments(features, torch.tensor([0.6, 0.6]), names=["a", "b"])


def test_a_dual_that_is_cut_short_says_so() -> None:
    features = torch.randn(3, 40, 3, generator=seeded(2), dtype=torch.float64)
    with pytest.raises(UserError, match="allow more steps"):
        solve_moments(features, torch.tensor([0.6, -0.6, 0.5]), steps=1, tolerance=1e-9)


@pytest.mark.parametrize(
    ("features", "wanted", "names", "said"),
    [
        (torch.rand(2, 3, 2), torch.rand(3), None, "3 moments"),
        (torch.rand(0, 3, 2), torch.rand(2), None, "no draws"),
        (torch.rand(2, 3, 1), torch.tensor([torch.nan]), ["mood"], "'mood' is nan"),
        (torch.full((2, 3, 1), torch.inf), torch.rand(1), None, "not finite"),
    ],
)
def test_input_that_cannot_be_fitted_is_refused(
    features: Tensor, wanted: Tensor, names: list[str] | None, said: str
) -> None:
    with pytest.raises(UserError, match=said):
        solve_moments(features, wanted, names=names)


def test_a_constant_feature_with_its_own_value_is_met() -> None:
    features = torch.rand(3, 20, 2, generator=seeded(4), dtype=torch.float64)
    features[..., 1] = 2.0
    fit = solve_moments(features, torch.tensor([0.6, 2.0]))
    assert abs(float(fit.coefficients[1])) < 1e-12
    torch.testing.assert_close(fit.achieved[0], torch.tensor(0.6).double(), atol=1e-5, rtol=0)


def _ones(readings: Sequence[tuple[int, ...]]) -> Tensor:
    return torch.tensor([[float(sum(one == 1 for one in reading))] for reading in readings])


def _fit(rows: int, batch: SequenceBatch, moments: dict[str, float]) -> Tensor:
    fit = fit_moments(
        TOY.reference,
        batch,
        AutoregressiveSampler(2, 400, anchors=GivenAnchors()),
        FunctionFeatures(_ones, 1),
        moments,
        rows=rows,
        generator=seeded(9),
    )
    return fit.coefficients


def test_draws_do_not_depend_on_how_many_sequences_are_drawn_from_at_once() -> None:
    text = torch.tensor([TEXT]).expand(5, -1)
    batch = SequenceBatch.of(text, anchors=torch.full((5, 1), ANCHOR))
    found = _fit(5, batch, {"ones": 1.1})
    torch.testing.assert_close(found, _fit(2, batch, {"ones": 1.1}))
    with pytest.raises(UserError, match="2 moments for 1 features"):
        _fit(5, batch, {"ones": 1.1, "twos": 0.1})
