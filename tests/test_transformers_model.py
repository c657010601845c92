"""Scoring of transformers models against plain forward passes, one branch at a time."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch

from ebmlm import attention
from ebmlm.distribution import Categorical
from ebmlm.rollouts import SequenceBatch
from ebmlm.samplers import BlockParallelSampler, GivenAnchors
from ebmlm.transformers_model import TransformersLanguageModel
from tests.helpers import (
    CONFIGURATIONS,
    DISTRIBUTIONS,
    LAYERS,
    VOCABULARY,
    draw,
    gradients,
    largest_difference,
    made_rollouts,
    one_branch_at_a_time,
    one_document_at_a_time,
    packed_batch,
    padded,
    pair,
    prefix_of,
    raw_model,
    seeded,
)

TOLERANCE = {torch.float64: 1e-5, torch.float32: 2e-4}


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("architecture", CONFIGURATIONS)
def test_scoring_equals_one_branch_at_a_time(architecture: str, dtype: torch.dtype) -> None:
    model, raw = pair(architecture, dtype)
    batch = packed_batch()
    for distribution in DISTRIBUTIONS.values():
        rollouts = draw(model, batch, distribution)
        with torch.no_grad():
            scored = model.score(rollouts)
        expected = one_branch_at_a_time(raw, rollouts)
        assert expected.min() < -0.5
        assert scored.sequences is None
        torch.testing.assert_close(
            scored.completions.double(), expected, atol=TOLERANCE[dtype], rtol=0
        )
    expected = one_document_at_a_time(raw, batch)
    with torch.no_grad():
        together = model.score(rollouts, sequences=True).sequences
        alone = model.score_sequences(batch)
    assert together is not None
    for sequences in (together, alone):
        torch.testing.assert_close(sequences.double(), expected, atol=TOLERANCE[dtype], rtol=0)


@pytest.mark.parametrize("samples", [1, 2, 3, 5, 8])
@pytest.mark.parametrize(("stride", "context"), [(1, 1), (3, 2), (50, 20)])
def test_any_number_of_anchors_and_samples(samples: int, stride: int, context: int) -> None:
    model, raw = pair()
    batch = packed_batch().rows(1, 3)
    rollouts = draw(model, batch, samples=samples, horizon=3, stride=stride, context=context)
    assert (rollouts.anchors.shape[1] == 1) == (stride == 50)
    with torch.no_grad():
        scored = model.score(rollouts).completions
    torch.testing.assert_close(scored, one_branch_at_a_time(raw, rollouts), atol=1e-5, rtol=0)


def test_a_head_that_reads_fewer_features_than_the_layers_have() -> None:
    model, raw = pair("opt", word_embed_proj_dim=8)
    rollouts = draw(model, packed_batch())
    scored = model.score(rollouts).completions.detach()
    torch.testing.assert_close(scored, one_branch_at_a_time(raw, rollouts), atol=1e-5, rtol=0)


@pytest.mark.parametrize("queries", [1, 7, 40, 10_000])
def test_attention_in_chunks_of_any_size(queries: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model, raw = pair()
    monkeypatch.setattr(attention, "_QUERIES_PER_CALL", queries)
    rollouts = draw(model, packed_batch())
    with torch.no_grad():
        scored = model.score(rollouts).completions
    torch.testing.assert_close(scored, one_branch_at_a_time(raw, rollouts), atol=1e-5, rtol=0)


def test_gradient_equals_that_of_one_branch_at_a_time() -> None:
    """Of a weighted sum of all scores, real text included."""
    model, raw = pair()
    batch = packed_batch().rows(1, 4)
    rollouts = draw(model, batch, Categorical(0.6), stride=6)
    weights = torch.randn(rollouts.completions.shape, dtype=torch.float64, generator=seeded(1))

    def ours() -> torch.Tensor:
        scoring = model.score(rollouts, sequences=True)
        assert scoring.sequences is not None
        return (scoring.completions * weights).sum() + 0.3 * scoring.sequences.sum()

    def naive() -> torch.Tensor:
        total = torch.zeros((), dtype=torch.float64)
        for row, place, number, step in rollouts.token_mask().nonzero().tolist():
            before = prefix_of(batch, row, int(rollouts.anchors[row, place]))
            tokens = before + rollouts.completions[row, place, number, : step + 1].tolist()
            logits = raw(input_ids=torch.tensor([tokens[:-1]])).logits[0, -1] / 0.6
            score = logits.log_softmax(-1)[tokens[-1]]
            total = total + weights[row, place, number, step] * score
        for row, place in batch.target_mask().nonzero().tolist():
            tokens = prefix_of(batch, row, place)
            logits = raw(input_ids=torch.tensor([tokens])).logits[0, -1]
            total = total + 0.3 * logits.log_softmax(-1)[batch.sequences[row, place]]
        return total

    expected = gradients(raw, naive)
    assert largest_difference(gradients(model.model, ours), expected) < 1e-4
    assert max(float(gradient.abs().max()) for gradient in expected.values()) > 1


def test_nothing_depends_on_what_stands_at_padding_and_invalid_anchors() -> None:
    model, _ = pair()
    batch = packed_batch()
    rollouts = draw(model, batch)
    assert not rollouts.anchor_mask.all()
    noise = seeded(9)
    real, live = batch.sequence_mask, rollouts.token_mask()
    garbage = torch.randint(VOCABULARY, batch.sequences.shape, generator=noise)
    more = torch.randint(VOCABULARY, rollouts.completions.shape, generator=noise)
    changed = dataclasses.replace(
        rollouts,
        batch=dataclasses.replace(
            batch,
            sequences=torch.where(real, batch.sequences, garbage),
            documents=torch.where(real, batch.documents, garbage),
        ),
        completions=torch.where(live, rollouts.completions, more),
        anchors=torch.where(rollouts.anchor_mask, rollouts.anchors, 10_000),
    )

    def states() -> list[torch.Tensor]:
        seen = model.hidden_states(changed, [0, 1, LAYERS])
        return [*(state[live] for state in seen.branches), *(state[real] for state in seen.trunk)]

    with torch.no_grad():
        before = model.score(rollouts, sequences=True)
        after = model.score(changed, sequences=True)
        torch.testing.assert_close(after.completions, before.completions, atol=1e-12, rtol=0)
        torch.testing.assert_close(after.sequences, before.sequences, atol=1e-12, rtol=0)
        expected = model.hidden_states(rollouts, [0, 1, LAYERS])
        pairs = [
            *(state[live] for state in expected.branches),
            *(state[real] for state in expected.trunk),
        ]
        for ours, theirs in zip(states(), pairs, strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=0)
        assert (after.completions[~live] == 0).all()
        assert (after.sequences[~batch.target_mask()] == 0).all()  # type: ignore[index]


def test_anchors_given_by_the_data() -> None:
    """A prompt and its completion: one anchor at the prompt's end, or none, or several."""
    model, raw = pair()
    sequences = torch.randint(VOCABULARY, (3, 9), generator=seeded(1))
    mask = torch.ones(3, 9, dtype=torch.bool)
    mask[1, :2] = False
    batch = SequenceBatch.of(
        sequences,
        mask,
        anchors=torch.tensor([[4, 6], [3, 0], [9, 1]]),
        anchor_mask=torch.tensor([[True, True], [True, False], [True, True]]),
    )
    rollouts = BlockParallelSampler(GivenAnchors(), 3, 2).sample(model, batch, generator=seeded(0))
    # After the end there is no text to compare with.
    assert not rollouts.reference_mask[2, 0].any()
    with torch.no_grad():
        scored = model.score(rollouts).completions
    expected = one_branch_at_a_time(raw, rollouts)
    torch.testing.assert_close(scored, expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(rollouts.log_probs, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "opt"])
def test_positions_past_the_models_last_are_refused(architecture: str) -> None:
    """64 positions: a branch may go up to them and not past them."""
    model, raw = pair(architecture)
    batch = SequenceBatch.of(torch.randint(VOCABULARY, (1, 62), generator=seeded(1)))
    anchors = torch.tensor([[61]])
    fits = made_rollouts(batch, anchors, torch.ones(1, 1, 1, 3, dtype=torch.long))
    with torch.no_grad():
        scored = model.score(fits).completions
    torch.testing.assert_close(scored, one_branch_at_a_time(raw, fits), atol=1e-5, rtol=0)
    long = made_rollouts(batch, anchors, torch.ones(1, 1, 1, 4, dtype=torch.long))
    mask = torch.ones_like(anchors, dtype=torch.bool)
    model.start(batch, anchors, mask, 1, 3)
    with pytest.raises(ValueError, match=r"65 positions asked for: this model has 64"):
        model.start(batch, anchors, mask, 1, 4)
    with pytest.raises(ValueError, match="65 positions asked for"):
        model.score(long)
    with pytest.raises(ValueError, match="65 positions asked for"):
        model.hidden_states(long, [0])
    with pytest.raises(ValueError, match="70 positions asked for"):
        model.score_sequences(SequenceBatch.of(torch.zeros(1, 70, dtype=torch.long)))


def test_packed_documents_may_be_longer_than_the_model_together() -> None:
    model, raw = pair("gpt2")
    sequences = torch.randint(VOCABULARY, (1, 100), generator=seeded(1))
    documents = (torch.arange(100) // 50).unsqueeze(0)
    batch = SequenceBatch.of(sequences, documents=documents)
    with torch.no_grad():
        scored = model.score_sequences(batch)
    torch.testing.assert_close(scored, one_document_at_a_time(raw, batch), atol=1e-5, rtol=0)


def test_padding_may_be_longer_than_the_model() -> None:
    """64 positions, and 100 tokens of padding on either side of the text."""
    model, _ = pair("gpt2")
    batch = packed_batch()
    rollouts = draw(model, batch)
    wide = draw(model, padded(batch, 100, 100))
    with torch.no_grad():
        narrow_scores = model.score(rollouts).completions[rollouts.anchor_mask]
        wide_scores = model.score(wide).completions[wide.anchor_mask]
        assert model.hidden_states(wide, [1]).trunk[0].shape[1] == 225
    torch.testing.assert_close(wide_scores, narrow_scores, atol=1e-10, rtol=0)


def test_end_tokens_come_from_the_model_unless_given() -> None:
    assert TransformersLanguageModel(raw_model(eos_token_id=9)).end_tokens == (9,)
    assert TransformersLanguageModel(raw_model()).end_tokens == ()
    assert TransformersLanguageModel(raw_model(eos_token_id=9), [3]).end_tokens == (3,)
    raw = raw_model(eos_token_id=9)
    raw.generation_config.eos_token_id = [4, 5]
    assert TransformersLanguageModel(raw).end_tokens == (4, 5)


def test_sizes() -> None:
    model, _ = pair("gpt2")
    assert (model.layer_count, model.hidden_size, model.vocabulary_size) == (2, 16, VOCABULARY)
    assert model.device == torch.device("cpu")


def test_dropout_is_off_even_in_training() -> None:
    """A rollout's log-probability is that of the distribution it was drawn from."""
    raw = raw_model("gpt2", attn_pdrop=0.5, resid_pdrop=0.5, embd_pdrop=0.5)
    model = TransformersLanguageModel(copy.deepcopy(raw))
    model.model.train()
    rollouts = draw(model, packed_batch())
    scored = model.score(rollouts).completions.detach()
    torch.testing.assert_close(scored, rollouts.log_probs, atol=1e-10, rtol=0)
    torch.testing.assert_close(scored, one_branch_at_a_time(raw, rollouts), atol=1e-5, rtol=0)
    for name in ("llama", "opt"):
        other, raw = pair(name, attention_dropout=0.5)
        other.model.train()
        plain = other.model(packed_batch().sequences).logits
        torch.testing.assert_close(plain, raw(packed_batch().sequences).logits)
        scored = other.score(rollouts).completions.detach()
        torch.testing.assert_close(scored, one_branch_at_a_time(raw, rollouts), atol=1e-5, rtol=0)
