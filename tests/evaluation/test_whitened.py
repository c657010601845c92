"""The feature-matching loss in the metric of held-out text."""

from __future__ import annotations

import pytest
import torch

from ebmlm.data import collate
from ebmlm.energies import EnergyTerms
from ebmlm.energies.feature_matching import feature_matching_loss
from ebmlm.errors import UserError
from ebmlm.evaluation import HeldOutEvaluation
from ebmlm.evaluation.whitened import WhitenedMatching
from ebmlm.features import FixedShrinkage, HiddenStateFeatures
from ebmlm.features.base import Features
from ebmlm.samplers import BlockParallelSampler, StridedAnchors
from tests.evaluation.test_held_out import rows, table

SAMPLER = BlockParallelSampler(StridedAnchors(3, 2), 3, 3)
NAME = "whitened_feature_matching_loss"


def test_it_is_the_loss_of_whitened_features() -> None:
    """Against a root of the shrunk moment by its eigenvectors, and sums by loops."""
    model = table()
    features = HiddenStateFeatures(model.frozen())
    report = HeldOutEvaluation(SAMPLER, features, 2, whitened=0.2)(model, rows())
    batch = collate(rows())
    drawn = SAMPLER.sample(model, batch, generator=torch.Generator().manual_seed(0))
    seen = features(drawn)
    assert seen.references is not None
    mask = drawn.anchor_mask
    references = seen.references[mask].double()
    moment = references.T @ references / len(references)
    size = len(moment)
    shrunk = 0.8 * moment + 0.2 * moment.trace() / size * torch.eye(size, dtype=torch.float64)
    values, vectors = torch.linalg.eigh(shrunk)
    root = vectors @ torch.diag(values**-0.5) @ vectors.T / size**0.5
    for row in range(len(mask)):
        total = 0.0
        for anchor in mask[row].nonzero().flatten().tolist():
            phi = seen.rollouts[row, anchor].double() @ root
            real = seen.references[row, anchor].double() @ root
            products = phi @ phi.T
            pairs = (products.sum() - products.trace()) / (3 * 2)
            total += float(pairs - 2 * (phi @ real).mean() + real @ real)
        assert float(report.measurements[NAME].totals[row]) == pytest.approx(total, rel=1e-6)
    assert torch.equal(report.measurements[NAME].counts, mask.sum(1))


def test_it_does_not_depend_on_how_rows_are_cut_and_changes_nothing_else() -> None:
    model = table()
    features = HiddenStateFeatures(model.frozen())
    whole = HeldOutEvaluation(SAMPLER, features, 5, whitened=FixedShrinkage(0.3))(model, rows())
    alone = HeldOutEvaluation(SAMPLER, features, 1, whitened=0.3)(model, rows())
    plain = HeldOutEvaluation(SAMPLER, features, 5)(model, rows())
    assert whole.means() == pytest.approx(alone.means())
    assert whole.means()[NAME] != pytest.approx(whole.means()["feature_matching_loss"])
    assert plain.means() == {name: v for name, v in whole.means().items() if name != NAME}


def test_without_any_reference() -> None:
    nothing = Features(torch.zeros(1, 2, 3, 4), None, (4,))
    with pytest.raises(UserError, match="compares with references, and there are none"):
        feature_matching_loss(nothing, EnergyTerms(torch.zeros(1, 2, 3)))
    collected = WhitenedMatching(0.1)
    collected.see(
        Features(torch.zeros(1, 2, 3, 4), torch.zeros(1, 2, 4), (4,)), torch.zeros(1, 2).bool()
    )
    with pytest.raises(UserError, match="0 vectors"):
        collected.measure()
