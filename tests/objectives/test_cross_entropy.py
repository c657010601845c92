"""Supervised fine-tuning equals the mean negative log-likelihood of real tokens."""

from __future__ import annotations

import pytest
import torch

from ebmlm.objectives import CrossEntropy, ItemCounts
from ebmlm.rollouts import SequenceBatch
from tests.helpers import (
    CONFIGURATIONS,
    VOCABULARY,
    gradients,
    largest_difference,
    one_document_at_a_time,
    packed_batch,
    pair,
    seeded,
)


def test_equals_one_document_at_a_time() -> None:
    model, raw = pair()
    batch = packed_batch()
    estimate = CrossEntropy().loss(model, batch)
    text = one_document_at_a_time(raw, batch)
    tokens = int((text != 0).sum())
    assert CrossEntropy().counts(batch) == ItemCounts(0, tokens)
    expected = -float(text.sum()) / tokens
    assert estimate.loss.item() == pytest.approx(expected, abs=1e-6)
    assert float(estimate.metrics["cross_entropy"]) == pytest.approx(expected, abs=1e-6)
    assert not estimate.metrics["cross_entropy"].requires_grad


@pytest.mark.parametrize("architecture", CONFIGURATIONS)
def test_loss_and_gradient_are_those_of_transformers(architecture: str) -> None:
    """On text without padding or packing, which transformers' own loss understands."""
    model, raw = pair(architecture)
    sequences = torch.randint(VOCABULARY, (2, 12), generator=seeded(0))
    batch = SequenceBatch.of(sequences)
    ours = gradients(model.model, lambda: CrossEntropy().loss(model, batch).loss)
    theirs = gradients(raw, lambda: raw(input_ids=sequences, labels=sequences).loss)
    assert largest_difference(ours, theirs) < 1e-5


def test_text_without_a_target_is_zero_with_its_graph() -> None:
    model, _ = pair()
    batch = SequenceBatch.of(torch.ones(2, 1, dtype=torch.long))
    estimate = CrossEntropy().loss(model, batch)
    assert estimate.loss == 0
    estimate.loss.backward()
    assert all(parameter.grad is not None for parameter in model.model.parameters())
