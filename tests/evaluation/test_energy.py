from __future__ import annotations

import itertools

import pytest
import torch

from ebmlm.data.row import TextRow
from ebmlm.distribution import Categorical
from ebmlm.energies import FeatureMatchingEnergy
from ebmlm.errors import UserError
from ebmlm.evaluation import EnergyEvaluation, EnergyOptions, likelihood_gains
from ebmlm.rollouts import SequenceBatch
from ebmlm.samplers import BlockParallelSampler, StridedAnchors
from tests.exact import Toy
from tests.helpers import seeded
from tests.targets.learned import OneHot, energies, learned

TOY = Toy(vocabulary=3)


class Rows:
    def __init__(self, count: int = 7, length: int = 9) -> None:
        generator = seeded(4)
        self.rows = [
            TextRow(
                torch.randint(3, (length - index % 3,), generator=generator),
                torch.zeros(length - index % 3, dtype=torch.long),
                index,
            )
            for index in range(count)
        ]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> TextRow:
        return self.rows[index]


def sampler(samples: int = 4, temperature: float = 1.0) -> BlockParallelSampler:
    return BlockParallelSampler(StridedAnchors(2, 2), 2, samples, Categorical(temperature))


def test_bounds_stand_where_they_should_by_enumeration() -> None:
    energy, count = learned(TOY, 1.0), 3
    model = TOY.log_probabilities(TOY.reference)
    values = energies(TOY, energy).detach()
    weights = -values
    log_partition = (model + weights).logsumexp(-1)
    index = torch.tensor(list(itertools.product(range(len(values)), repeat=count)))
    chances = model[index].sum(-1).exp()
    for real in range(len(values)):
        own = weights[real].expand(len(index), 1)
        gains = likelihood_gains(own, own, weights[index].unsqueeze(1))
        mean = {name: float((chances * value[:, 0]).sum()) for name, value in gains.items()}
        exact = float(weights[real] - log_partition)
        assert mean["gain_lower"] < exact < mean["gain_upper"]
        # What importance resampling of the real one and three more writes it with.
        others = torch.cat([own, weights[index]], -1)
        share = (own[:, 0] - others.logsumexp(-1)).exp() * (count + 1)
        resampled = float((chances * share).sum().log())
        assert mean["gain_resampled"] < resampled
    # The resampler's probabilities add up to one: it is a distribution.
    total = sum(
        float(
            model[real].exp()
            * (
                chances
                * (count + 1)
                * (
                    weights[real]
                    - torch.cat(
                        [weights[real].expand(len(index), 1), weights[index]], -1
                    ).logsumexp(-1)
                ).exp()
            ).sum()
        )
        for real in range(len(values))
    )
    assert total == pytest.approx(1, abs=1e-12)


def test_bounds_of_many_samples_meet() -> None:
    weights = torch.randn(1, 1, 4000, generator=seeded(1), dtype=torch.float64)
    real = torch.full((1, 1), 0.3, dtype=torch.float64)
    gains = likelihood_gains(real, real, weights)
    # log E exp(z) is 1/2 for a standard normal z.
    for value in gains.values():
        assert float(value) == pytest.approx(0.3 - 0.5, abs=0.1)


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_an_energy_of_zero_gains_nothing(temperature: float) -> None:
    report = EnergyEvaluation(learned(TOY), sampler(400, temperature))(TOY.reference, Rows())
    means = report.means()
    if temperature == 1:
        for name in ("gain_upper", "gain_lower", "gain_resampled"):
            assert means[name] == pytest.approx(0, abs=1e-12)
        assert means["nce_accuracy"] == means["ranking_accuracy"] == 0.5
        assert means["effective_samples"] == pytest.approx(400)
    else:
        # The weights are those of another noise, whose mean is still one.
        assert abs(means["gain_upper"]) < 0.05


def test_the_windows_cross_entropy_is_the_language_models() -> None:
    rows = Rows(1, 8)
    report = EnergyEvaluation(learned(TOY, 1.0), sampler())(TOY.reference, rows)
    scored = TOY.reference.score_sequences(SequenceBatch.of(rows[0].sequence.unsqueeze(0)))[0]
    # Windows of two tokens at 2, 4, 6: all from the third token on.
    assert report.means()["window_cross_entropy"] == pytest.approx(-float(scored[2:].mean()))
    assert report.measurements["window_cross_entropy"].counts.tolist() == [6]


@pytest.mark.parametrize("size", [1, 3])
def test_the_result_does_not_depend_on_the_batch_size(size: int) -> None:
    energy = learned(TOY, 1.0)
    whole = EnergyEvaluation(energy, sampler(), 7)(TOY.reference, Rows())
    cut = EnergyEvaluation(energy, sampler(), size)(TOY.reference, Rows())
    assert whole.means() == pytest.approx(cut.means(), abs=1e-12)
    assert whole.standard_errors() == pytest.approx(cut.standard_errors(), abs=1e-12)


def test_what_cannot_be_measured_is_refused() -> None:
    with pytest.raises(UserError, match="at least 2"):
        EnergyEvaluation(learned(TOY), sampler(1))
    with pytest.raises(UserError, match="batch_size"):
        EnergyEvaluation(learned(TOY), sampler(), 0)
    options = EnergyOptions(horizon=4, stride=4, context=2)
    two = TextRow(torch.zeros(8, dtype=torch.long), torch.tensor([0] * 4 + [1] * 4), 0)
    whole = TextRow(two.sequence, torch.zeros(8, dtype=torch.long), 1)
    evaluation = options.build(learned(TOY))
    evaluation.check(TOY.reference, [two, whole])
    with pytest.raises(UserError, match="no held-out row"):
        evaluation.check(TOY.reference, [two])
    with pytest.raises(UserError, match="no held-out sequence"):
        evaluation(TOY.reference, [])
    with pytest.raises(UserError, match="compares samples"):
        EnergyEvaluation(FeatureMatchingEnergy(OneHot(3, 2)), sampler())
