"""The laws of a language model.

Each takes a :class:`~ebmlm.language_model.LanguageModel` and raises where it breaks the law, with a
smallest counterexample (docs/testing.md, "Laws").
"""

from __future__ import annotations

import dataclasses

import torch
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from torch import Tensor

from ebmlm.distribution import Categorical
from ebmlm.language_model import LanguageModel
from ebmlm.rollouts import Rollouts, SequenceBatch
from ebmlm.testing.laws.cases import ReadableRollouts, padded, scrambled
from ebmlm.testing.laws.proof import EXAMPLES, Draw, for_all, require, require_equal
from ebmlm.testing.strategies.configurations import distributions
from ebmlm.testing.strategies.numbers import tensors
from ebmlm.testing.strategies.rollouts import rollouts as any_rollouts

__all__ = [
    "LANGUAGE_MODEL_LAWS",
    "branches_are_scored_as_text",
    "branches_are_seen_as_text",
    "frozen_models_stand_still",
    "neighbours_move_no_score",
    "next_tokens_add_up",
    "padding_moves_no_score",
    "text_is_scored_along",
    "what_is_drawn_is_scored",
    "what_is_scored_is_tempered",
]


def branches_are_scored_as_text(model: LanguageModel, examples: int = EXAMPLES) -> None:
    """A rollout scores what the same tokens score as plain text: each by those before it."""

    def holds(draw: Draw) -> None:
        rollouts = draw(_cases(model, st.just(Categorical())), "rollouts").rollouts
        scored = model.score(rollouts).completions
        for row, place, sample in _branches(rollouts):
            text, length = _written_out(rollouts, row, place, sample)
            expected = model.score_sequences(SequenceBatch.of(text))[0, -length:]
            found = scored[row, place, sample, :length]
            where = f"anchor {int(rollouts.anchors[row, place])} of sequence {row}"
            require_equal(found, expected, f"scores of sample {sample} at {where}, against text")

    for_all(holds, examples)


def what_is_scored_is_tempered(model: LanguageModel, examples: int = EXAMPLES) -> None:
    """Scores are under the distribution that rollouts are drawn from: its temperature, its cut."""

    def holds(draw: Draw) -> None:
        rollouts = draw(_cases(model, distributions(truncated=True)), "rollouts").rollouts
        scored = model.score(rollouts).completions
        for row, place, sample in _branches(rollouts)[:1]:
            length = int(rollouts.completion_mask[row, place, sample].sum())
            for step in range(length):
                logits = _next_tokens(model, rollouts, row, place, sample, step)
                token = rollouts.completions[row, place, sample, step].view(1)
                expected = rollouts.distribution.log_prob(logits.unsqueeze(0), token)[0]
                what = f"score of token {step} of sample {sample} at place {place}, row {row}"
                require_equal(scored[row, place, sample, step], expected, what)

    for_all(holds, examples)


def next_tokens_add_up(model: LanguageModel, examples: int = EXAMPLES) -> None:
    """The probabilities of all next tokens add up to one."""

    def holds(draw: Draw) -> None:
        rollouts = draw(_cases(model, st.just(Categorical())), "rollouts").rollouts
        for row, place, sample in _branches(rollouts)[:1]:
            total = _next_tokens(model, rollouts, row, place, sample, 0).exp().sum()
            require_equal(total, torch.ones_like(total), "sum over all next tokens")

    for_all(holds, examples)


def what_is_drawn_is_scored(model: LanguageModel, examples: int = EXAMPLES) -> None:
    """The decoder's log-probabilities are the scorer's, token by token."""

    def holds(draw: Draw) -> None:
        drawn = draw(_cases(model, distributions(truncated=True)), "rollouts").rollouts
        shape = drawn.completions.shape
        uniform = st.integers(0, 7).map(lambda eighth: eighth / 8)
        uniforms = draw(tensors(shape, uniform), "uniform numbers")
        start = model.start(drawn.batch, drawn.anchors, drawn.anchor_mask, *shape[2:])
        tokens, log_probs = [], []
        with start as decoder:
            for step in range(shape[3]):
                token, log_prob = decoder.draw(drawn.distribution, uniforms[..., step])
                tokens.append(token)
                log_probs.append(log_prob)
                if step + 1 < shape[3]:
                    decoder.advance(token)
        rollouts = Rollouts.given(
            drawn.batch,
            drawn.anchors,
            drawn.anchor_mask,
            torch.stack(tokens, dim=-1),
            drawn.distribution,
        )
        scored = model.score(rollouts).completions
        mask = rollouts.token_mask()
        recorded = torch.stack(log_probs, dim=-1)[mask]
        require_equal(recorded, scored[mask], "log-probabilities while drawing, against scores")

    for_all(holds, examples)


def padding_moves_no_score(model: LanguageModel, examples: int = EXAMPLES) -> None:
    """Padding, tokens after an end and invalid anchors change no score, and score zero."""

    def holds(draw: Draw) -> None:
        rollouts = draw(_cases(model, distributions()), "rollouts").rollouts
        before = draw(st.integers(0, 2), "more padding before")
        vocabulary = model.vocabulary_size
        other = padded(scrambled(rollouts, 9, vocabulary), before, 1, vocabulary - 1)
        expected = model.score(rollouts, sequences=True)
        found = model.score(other, sequences=True)
        mask = rollouts.token_mask()
        require_equal(found.completions, expected.completions, "scores with other padding")
        nothing = torch.zeros_like(expected.completions[~mask])
        require_equal(expected.completions[~mask], nothing, "scores of what does not count", 0.0)
        _require_same_text(found.sequences, expected.sequences, before)

    for_all(holds, examples)


def neighbours_move_no_score(model: LanguageModel, examples: int = EXAMPLES) -> None:
    """A rollout's score depends on its own prefix and tokens, and on no other rollout."""

    def holds(draw: Draw) -> None:
        rollouts = draw(_cases(model, distributions()), "rollouts").rollouts
        whole = model.score(rollouts).completions
        for row in range(len(rollouts.batch)):
            for sample in range(rollouts.samples):
                own = slice(sample, sample + 1)
                alone = dataclasses.replace(
                    rollouts,
                    completions=rollouts.completions[:, :, own],
                    completion_mask=rollouts.completion_mask[:, :, own],
                    log_probs=rollouts.log_probs[:, :, own],
                ).rows(row, row + 1)
                what = f"scores of sample {sample} of sequence {row} alone"
                found = model.score(alone).completions
                require_equal(found, whole[row : row + 1, :, own], what)

    for_all(holds, examples)


def text_is_scored_along(model: LanguageModel, examples: int = EXAMPLES) -> None:
    """The real text scores the same with rollouts hanging off it as alone."""

    def holds(draw: Draw) -> None:
        rollouts = draw(_cases(model, distributions()), "rollouts").rollouts
        found = model.score(rollouts, sequences=True).sequences
        require(found is not None, "no scores of the sequences, which were asked for")
        assert found is not None
        expected = model.score_sequences(rollouts.batch)
        require_equal(found, expected, "scores of the text with rollouts, against the text alone")
        rest = expected[~rollouts.batch.target_mask()]
        nothing = torch.zeros_like(rest)
        require_equal(rest, nothing, "scores of padding and of first tokens of documents", 0.0)

    for_all(holds, examples)


def branches_are_seen_as_text(model: LanguageModel, examples: int = EXAMPLES) -> None:
    """Hidden states of a rollout are those of the same tokens as plain text."""

    def holds(draw: Draw) -> None:
        rollouts = draw(_cases(model, st.just(Categorical())), "rollouts").rollouts
        layers = range(model.layer_count + 1)
        states = model.hidden_states(rollouts, layers)
        for row, place, sample in _branches(rollouts):
            text, length = _written_out(rollouts, row, place, sample)
            plain = Rollouts.given(
                SequenceBatch.of(text),
                torch.ones(1, 1, dtype=torch.long),
                torch.ones(1, 1, dtype=torch.bool),
                torch.zeros(1, 1, 1, 1, dtype=torch.long),
                Categorical(),
            )
            expected = model.hidden_states(plain, layers).trunk
            for layer in layers:
                found = states.branches[layer][row, place, sample, :length]
                what = f"states after layer {layer} of sample {sample}, against plain text"
                require_equal(found, expected[layer][0, -length:], what)

    for_all(holds, examples)


def frozen_models_stand_still(model: LanguageModel, examples: int = EXAMPLES) -> None:
    """A frozen copy scores the same, without gradient, and has the model's vocabulary and ends."""
    frozen = model.frozen()
    for name in ("vocabulary_size", "end_tokens", "layer_count", "hidden_size"):
        pair = (getattr(frozen, name), getattr(model, name))
        require(pair[0] == pair[1], f"frozen: {name} is {pair[0]} instead of {pair[1]}")

    def holds(draw: Draw) -> None:
        rollouts = draw(_cases(model, distributions()), "rollouts").rollouts
        with torch.enable_grad():
            found = frozen.score(rollouts).completions
        require(not found.requires_grad, "scores of a frozen model carry a gradient")
        require_equal(found, model.score(rollouts).completions, "scores of the frozen model")

    for_all(holds, examples)


LANGUAGE_MODEL_LAWS = (
    branches_are_scored_as_text,
    what_is_scored_is_tempered,
    next_tokens_add_up,
    what_is_drawn_is_scored,
    padding_moves_no_score,
    neighbours_move_no_score,
    text_is_scored_along,
    branches_are_seen_as_text,
    frozen_models_stand_still,
)
"""Every law of a language model."""


def _cases(model: LanguageModel, distribution: SearchStrategy) -> SearchStrategy[ReadableRollouts]:
    drawn = any_rollouts(model.vocabulary_size, distribution=distribution)
    return drawn.map(ReadableRollouts)


def _branches(rollouts: Rollouts) -> list[tuple[int, int, int]]:
    """(row, place, sample) of every rollout at a valid anchor."""
    return [
        (row, place, sample)
        for row, place in rollouts.anchor_mask.nonzero().tolist()
        for sample in range(rollouts.samples)
    ]


def _written_out(rollouts: Rollouts, row: int, place: int, sample: int) -> tuple[Tensor, int]:
    """A rollout's document up to its end as plain text (1, position), and how much is its own."""
    anchor = int(rollouts.anchors[row, place])
    start = int(rollouts.batch.document_starts()[row, anchor - 1])
    tokens = rollouts.completions[row, place, sample][rollouts.completion_mask[row, place, sample]]
    return torch.cat([rollouts.sequences[row, start:anchor], tokens])[None], len(tokens)


def _next_tokens(
    model: LanguageModel, rollouts: Rollouts, row: int, place: int, sample: int, step: int
) -> Tensor:
    """Log-probability (vocabulary,) of every token in the place of one, at temperature 1."""
    count = model.vocabulary_size
    before = rollouts.completions[row, place, sample, :step].expand(count, -1)
    tokens = torch.cat([before, torch.arange(count).unsqueeze(-1)], dim=-1)
    every = Rollouts.given(
        rollouts.batch.rows(row, row + 1),
        rollouts.anchors[row : row + 1, place : place + 1],
        torch.ones(1, 1, dtype=torch.bool),
        tokens[None, None],
        Categorical(),
    )
    return model.score(every).completions[0, 0, :, step]


def _require_same_text(found: Tensor | None, expected: Tensor | None, before: int) -> None:
    require(found is not None and expected is not None, "no scores of the sequences")
    assert found is not None
    assert expected is not None
    inner = found[:, before : before + expected.shape[1]]
    require_equal(inner, expected, "scores of the text with other padding")
