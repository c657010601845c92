"""A kernel as a cosine."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given

from ebmlm.energies import KernelMatchingEnergy, cosine
from ebmlm.features import FeatureSpaceWhitening
from ebmlm.kernels import FeatureKernel, Linear, NGramKernel, NormalisedKernel, SubsequenceKernel
from ebmlm.rollouts import Rollouts
from ebmlm.testing import check_energy
from ebmlm.testing.strategies import rollouts as any_rollouts
from tests.exact import Toy
from tests.kernels.helpers import assert_semi_definite, strings_of, table_features


@given(any_rollouts(min_samples=2))
def test_every_continuation_is_as_like_itself_as_any_other(drawn: Rollouts) -> None:
    plain = NGramKernel([0.0, 0.3])
    gram = NormalisedKernel(plain)(drawn).gram()
    raw = plain(drawn).gram()
    for row, place in drawn.anchor_mask.nonzero().tolist():
        found, given_ = gram[row, place], raw[row, place]
        assert_semi_definite(found)
        for j, string in enumerate(strings_of(drawn, row, place)):
            # Nothing to be seen in a continuation shorter than two tokens.
            assert float(found[j, j]) == (1.0 if len(string) >= 2 else 0.0)
            for k in range(len(found)):
                lengths = float(given_[j, j] * given_[k, k]) ** 0.5
                expected = float(given_[j, k]) / lengths if lengths else 0.0
                assert float(found[j, k]) == pytest.approx(expected)


def test_it_is_the_cosine_of_features() -> None:
    features, drawn = table_features(), Toy(vocabulary=3).groups(2)
    values = NormalisedKernel(FeatureKernel(features, Linear()))(drawn)
    seen = features(drawn)
    assert seen.references is not None
    expected = cosine(seen.rollouts, seen.references.unsqueeze(2))
    torch.testing.assert_close(values.references, expected)


def test_laws_and_bias() -> None:
    kernel = NormalisedKernel(SubsequenceKernel(0.5, [1.0, 0.5]))
    assert check_energy(KernelMatchingEnergy(kernel), examples=10)
    biased = FeatureKernel(table_features(), Linear(), FeatureSpaceWhitening())
    assert NormalisedKernel(biased).bias == biased.bias
