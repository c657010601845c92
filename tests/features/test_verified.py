"""Verifiers' scores as features."""

from __future__ import annotations

from typing import Any, cast

import pytest
import torch

from ebmlm.distribution import Categorical
from ebmlm.errors import UserError
from ebmlm.features import VerifierFeatures
from ebmlm.rollouts import Rollouts, SequenceBatch
from ebmlm.texts import Texts
from ebmlm.verifiers import FunctionVerifier, RegularExpression


class _Digits:
    def decode(self, tokens: list[int], **options: Any) -> str:
        return "".join(map(str, tokens))


TEXTS = Texts(cast(Any, _Digits()), {})


def test_each_verifier_is_a_feature_of_rollouts_and_references() -> None:
    length = FunctionVerifier(lambda prompt, completion, row: len(completion) / 4)
    features = VerifierFeatures([RegularExpression("12"), length], TEXTS, context=1)
    batch = SequenceBatch.of(torch.tensor([[0, 1, 2, 2]]))
    rollouts = Rollouts.given(
        batch,
        torch.tensor([[2]]),
        torch.tensor([[True]]),
        torch.tensor([[[[2, 0], [0, 2]]]]),
        Categorical(),
    )
    found = features(rollouts)
    # The token before the anchor is a 1.
    assert found.rollouts[0, 0].tolist() == [[1.0, 0.75], [0.0, 0.75]]
    assert found.references is not None and found.references[0, 0].tolist() == [1.0, 0.75]
    assert features.width == 2


def test_no_verifier_is_no_feature_map() -> None:
    with pytest.raises(UserError, match="no verifiers"):
        VerifierFeatures([], TEXTS)
