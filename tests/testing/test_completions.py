"""Listed completions against reading the model one token at a time."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ebmlm.distribution import Categorical, Greedy, TokenDistribution
from ebmlm.errors import UserError
from ebmlm.language_model import Scoring
from ebmlm.rollouts import Rollouts, SequenceBatch
from ebmlm.testing import (
    Completions,
    TabularLanguageModel,
    conditional_log_probs,
    group_rollouts,
    list_completions,
)
from ebmlm.testing.bugs.language_models import ScoredAtOne, ShiftedParents
from ebmlm.testing.strategies import distributions, single_texts, tabular_models
from tests.helpers import (
    naive_log_probs,
    pair,
    plain_logits,
    prefix_of,
    seeded,
    table_logits,
    table_row,
)

PACKED = SequenceBatch.of(
    torch.tensor([[2, 2, 0, 2, 1, 1, 0]]), documents=torch.tensor([[0, 0, 1, 1, 1, 1, 1]])
)
DISTRIBUTIONS: dict[str, TokenDistribution] = {
    "plain": Categorical(),
    "cold": Categorical(0.6),
    "top-k": Categorical(1.3, top_k=2),
    "top-p": Categorical(0.8, top_p=0.7),
    "one": Categorical(top_k=1),
    "greedy": Greedy(),
}


def table(ends: tuple[int, ...] = (), vocabulary: int = 3) -> TabularLanguageModel:
    return TabularLanguageModel(vocabulary, 3, end_tokens=ends, generator=seeded(0))


def next_log_probs(logits: Tensor, distribution: TokenDistribution) -> list[float]:
    if isinstance(distribution, Greedy):
        best = int(logits.argmax())
        return [0.0 if token == best else -math.inf for token in range(len(logits))]
    return naive_log_probs(logits, distribution)


def assert_read_off(
    listed: Completions,
    prefix: list[int],
    next_logits: Callable[[list[int]], Tensor],
    distribution: TokenDistribution,
    ends: tuple[int, ...],
    precision: float,
) -> None:
    """Every string up to its end once, each token with its own log-probability."""
    found = {}
    for tokens, mask, log_probs in zip(
        listed.tokens.tolist(), listed.mask.tolist(), listed.token_log_probs.detach(), strict=True
    ):
        length = sum(mask)
        assert mask == [step < length for step in range(len(mask))]
        assert tokens[length:] == [0] * (len(mask) - length)
        assert (log_probs[length:] == 0).all()
        context = list(prefix)
        for step, token in enumerate(tokens[:length]):
            expected = next_log_probs(next_logits(context), distribution)[token]
            assert float(log_probs[step]) == pytest.approx(expected, abs=precision)
            context.append(token)
        found[tuple(tokens[:length])] = float(log_probs.sum())
    assert len(found) == len(listed)
    assert sum(map(math.exp, found.values())) == pytest.approx(1, abs=1e-12)
    torch.testing.assert_close(
        listed.log_probs().detach(), torch.tensor(list(found.values()), dtype=torch.float64)
    )
    for tokens in found:
        assert not set(tokens[:-1]) & set(ends)
        assert len(tokens) == listed.rollouts.horizon or tokens[-1] in ends


@pytest.mark.parametrize("name", DISTRIBUTIONS)
@pytest.mark.parametrize("ends", [(), (1,), (0, 2)])
@pytest.mark.parametrize(("anchor", "horizon"), [(3, 1), (5, 3), (7, 2)])
def test_each_token_is_read_from_the_table(
    name: str, ends: tuple[int, ...], anchor: int, horizon: int
) -> None:
    model, distribution = table(ends), DISTRIBUTIONS[name]
    listed = list_completions(model, PACKED, anchor, distribution, horizon)
    prefix = prefix_of(PACKED, 0, anchor)
    assert_read_off(listed, prefix, partial(table_logits, model), distribution, ends, 1e-12)
    assert listed.rollouts.distribution is distribution
    assert listed.rollouts.anchors.tolist() == [[anchor]]
    assert listed.rollouts.samples == len(listed)
    if not ends:
        assert len(listed) == 3**horizon


@pytest.mark.parametrize("name", ["plain", "cold", "top-p", "greedy"])
def test_a_transformer_is_read_too(name: str) -> None:
    model, raw = pair("llama", end_tokens=(1,), vocab_size=3)
    listed = list_completions(model, PACKED, 5, DISTRIBUTIONS[name], 2)
    prefix = prefix_of(PACKED, 0, 5)
    assert_read_off(listed, prefix, partial(plain_logits, raw), DISTRIBUTIONS[name], (1,), 1e-6)


@given(tabular_models(), distributions(truncated=True), st.integers(1, 3), st.data())
def test_probabilities_add_up_to_one(
    model: TabularLanguageModel,
    distribution: TokenDistribution,
    horizon: int,
    data: st.DataObject,
) -> None:
    batch = data.draw(single_texts(model.vocabulary_size))
    anchor = data.draw(st.integers(1, batch.sequences.shape[1]))
    listed = list_completions(model, batch, anchor, distribution, horizon)
    total = listed.log_probs().detach().exp().sum()
    assert float(total) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("name", ["plain", "cold", "top-k", "top-p"])
@pytest.mark.parametrize("ends", [(), (1,)])
def test_the_gradient_is_that_of_the_softmax_over_what_is_kept(
    name: str, ends: tuple[int, ...]
) -> None:
    """``d log p(token) / d logits = (1[token] - p) / temperature``, in the context's row."""
    model, distribution = table(ends), DISTRIBUTIONS[name]
    energies = torch.randn(9, dtype=torch.float64, generator=seeded(1))
    listed = list_completions(model, PACKED, 5, distribution, 2)
    energies = energies[: len(listed)]
    (found,) = torch.autograd.grad(listed.log_probs().exp() @ energies, model.logits)

    expected = torch.zeros_like(model.logits)
    for number, tokens in enumerate(listed.tokens.tolist()):
        probability = float(listed.log_probs()[number].detach().exp())
        context = prefix_of(PACKED, 0, 5)
        for token in tokens[: int(listed.mask[number].sum())]:
            logits = table_logits(model, context)
            kept = torch.tensor(naive_log_probs(logits, distribution), dtype=torch.float64).exp()
            push = -kept
            push[token] += 1
            weight = probability * energies[number] / distribution.temperature
            expected[table_row(model, context)] += weight * push
            context.append(token)
    assert expected.abs().max() > 0.01
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=0)


def test_greedy_completions_have_no_gradient() -> None:
    assert not list_completions(table(), PACKED, 5, Greedy(), 2).log_probs().requires_grad


def test_what_a_model_does_with_a_temperature_is_not_looked_at() -> None:
    """So that one that scores at another temperature than it draws at is found out."""
    wrong = ScoredAtOne()
    honest = TabularLanguageModel(3, 3, layers=1, hidden=2, generator=seeded(0))
    distribution = Categorical(0.5, top_p=0.9)
    found, expected = (
        list_completions(model, PACKED, 5, distribution, 2).log_probs().detach()
        for model in (wrong, honest)
    )
    assert torch.equal(found, expected)
    said = group_rollouts(PACKED, 5, torch.tensor([[0, 1]]), distribution)
    assert not torch.equal(wrong.score(said).completions, honest.score(said).completions)


@pytest.mark.parametrize(("name", "count"), [("plain", 9), ("top-k", 4), ("one", 1), ("greedy", 1)])
def test_possible_leaves_those_that_can_be_drawn(name: str, count: int) -> None:
    listed = list_completions(table(), PACKED, 5, DISTRIBUTIONS[name], 2)
    possible = listed.possible()
    assert len(possible) == count
    assert float(possible.log_probs().detach().exp().sum()) == pytest.approx(1, abs=1e-12)
    kept = (listed.log_probs() > -torch.inf).nonzero().flatten()
    assert torch.equal(possible.tokens, listed.tokens[kept])


def test_chosen_keeps_tokens_masks_and_log_probabilities_together() -> None:
    listed = list_completions(table((1,)), PACKED, 5, Categorical(), 3)
    short = int((~listed.mask).any(-1).nonzero()[0])
    index = torch.tensor([short, 0, short, len(listed) - 1])
    chosen = listed.chosen(index)
    assert len(chosen) == chosen.rollouts.samples == 4
    assert torch.equal(chosen.tokens, listed.tokens[index])
    assert torch.equal(chosen.mask, listed.mask[index])
    assert torch.equal(chosen.token_log_probs, listed.token_log_probs[index])
    assert torch.equal(chosen.rollouts.references, listed.rollouts.references)
    assert not chosen.mask.all()
    # A choice of a choice.
    assert chosen.chosen(torch.tensor([3])).tokens.tolist() == [listed.tokens[-1].tolist()]


@pytest.mark.parametrize("ends", [(), (1,)])
def test_groups_are_rollouts_that_a_model_scores_the_same(ends: tuple[int, ...]) -> None:
    model = table(ends)
    listed = list_completions(model, PACKED, 5, Categorical(0.6), 2)
    index = torch.tensor([[0, 1, 1], [2, 0, len(listed) - 1]])
    groups = listed.groups(index)
    assert groups.completions.shape == (2, 1, 3, 2)
    assert groups.anchors.tolist() == [[5], [5]]
    assert torch.equal(groups.sequences, PACKED.sequences.expand(2, -1))
    assert torch.equal(groups.references, listed.rollouts.references.expand(2, -1, -1))
    assert torch.equal(groups.completions[:, 0], listed.tokens[index])
    assert torch.equal(groups.completion_mask[:, 0], listed.mask[index])
    torch.testing.assert_close(
        model.score(groups).completions[:, 0], listed.token_log_probs[index], atol=1e-12, rtol=0
    )


def binary(ends: tuple[int, ...] = ()) -> Completions:
    """The strings 00, 01, 10, 11, or with the end 1 these: 00, 01, 1."""
    batch = SequenceBatch.of(torch.tensor([[0]]))
    return list_completions(table(ends, vocabulary=2), batch, 1, Categorical(), 2)


@pytest.mark.parametrize(
    ("ends", "probabilities", "expected"),
    [
        ((), [0.1, 0.2, 0.3, 0.4], [[0.3, 1 / 3], [0.3, 2 / 3], [0.7, 3 / 7], [0.7, 4 / 7]]),
        ((1,), [0.2, 0.3, 0.5], [[0.5, 0.4], [0.5, 0.6], [0.5, 1]]),
    ],
)
def test_conditional_probabilities_by_hand(
    ends: tuple[int, ...], probabilities: list[float], expected: list[list[float]]
) -> None:
    given_, hand = (torch.tensor(part, dtype=torch.float64) for part in (probabilities, expected))
    found = conditional_log_probs(binary(ends), given_).exp()
    torch.testing.assert_close(found, hand, atol=1e-12, rtol=0)


def test_what_is_never_written_gets_zero_and_no_gradient_that_is_not_a_number() -> None:
    probabilities = torch.tensor([0.0, 0.0, 0.25, 0.75], dtype=torch.float64, requires_grad=True)
    found = conditional_log_probs(binary(), probabilities)
    assert found.exp().detach().tolist() == [[1, 1], [1, 1], [1, 0.25], [1, 0.75]]
    (gradient,) = torch.autograd.grad(found.sum(), probabilities)
    assert gradient.isfinite().all()


@given(tabular_models(), distributions(truncated=True), st.integers(1, 3), st.data())
def test_conditional_probabilities_multiply_to_the_probabilities(
    model: TabularLanguageModel,
    distribution: TokenDistribution,
    horizon: int,
    data: st.DataObject,
) -> None:
    batch = data.draw(single_texts(model.vocabulary_size))
    listed = list_completions(model, batch, 1, distribution, horizon).possible()
    own = conditional_log_probs(listed, listed.log_probs().detach().exp())
    torch.testing.assert_close(own, listed.token_log_probs.detach(), atol=1e-9, rtol=0)
    other = torch.rand(len(listed), dtype=torch.float64, generator=seeded(2)) + 0.1
    other = other / other.sum()
    found = conditional_log_probs(listed, other)
    torch.testing.assert_close(found.sum(-1).exp(), other, atol=1e-12, rtol=0)
    assert (found[~listed.mask] == 0).all()
    # After every prefix they are a distribution of the next token.
    after: dict[tuple[int, ...], dict[int, float]] = defaultdict(dict)
    for tokens, mask, log_probs in zip(
        listed.tokens.tolist(), listed.mask.tolist(), found.tolist(), strict=True
    ):
        for step in range(sum(mask)):
            after[tuple(tokens[:step])][tokens[step]] = math.exp(log_probs[step])
    for shares in after.values():
        assert sum(shares.values()) == pytest.approx(1, abs=1e-12)


class _Louder(TabularLanguageModel):
    """Scores every token a tenth too probable."""

    def score(self, rollouts: Rollouts, *, sequences: bool = False) -> Scoring:
        scoring = super().score(rollouts, sequences=sequences)
        louder = scoring.completions + math.log(1.1) * rollouts.token_mask()
        return Scoring(louder, scoring.sequences)


def test_a_model_that_does_not_add_up_is_refused_by_number() -> None:
    louder = _Louder(3, 3, generator=seeded(0))
    with pytest.raises(UserError, match=r"add up to 1\.1 somewhere, and must to 1"):
        list_completions(louder, PACKED, 5, Categorical(), 2)
    with pytest.raises(UserError, match="check_language_model"):
        list_completions(ShiftedParents(), PACKED, 5, Categorical(), 2)


def test_several_sequences_are_refused() -> None:
    batch = SequenceBatch.of(torch.zeros(2, 4, dtype=torch.long))
    with pytest.raises(UserError, match="2 sequences: completions are those of one"):
        list_completions(table(), batch, 2, Categorical(), 2)
