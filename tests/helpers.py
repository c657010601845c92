"""Batches, tiny models and the oracles that the fast paths are held against."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ebmlm.distribution import Categorical, TokenDistribution
from ebmlm.rollouts import Rollouts, SequenceBatch, gather_continuations
from ebmlm.samplers import BlockParallelSampler, StridedAnchors
from ebmlm.transformers_model import TransformersLanguageModel

VOCABULARY = 61
LAYERS = 2

_SHAPE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 16,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
}
_GATED = {**_SHAPE, "intermediate_size": 24}

# One configuration per architecture that is promised to work: model type and options.
CONFIGURATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {**_GATED, "num_key_value_heads": 2}),
    "qwen2": ("qwen2", {**_GATED, "num_key_value_heads": 2, "use_sliding_window": False}),
    "qwen3": ("qwen3", {**_GATED, "num_key_value_heads": 2, "head_dim": 8}),
    "gpt2": (
        "gpt2",
        {"vocab_size": VOCABULARY, "n_embd": 16, "n_layer": LAYERS, "n_head": 4, "n_positions": 64},
    ),
    "gpt_neox": ("gpt_neox", _GATED),
    "mistral": ("mistral", {**_GATED, "num_key_value_heads": 2, "sliding_window": None}),
    "gemma": ("gemma", {**_GATED, "num_key_value_heads": 1, "head_dim": 8}),
    "opt": ("opt", {**_SHAPE, "ffn_dim": 24, "word_embed_proj_dim": 16}),
}

DISTRIBUTIONS: dict[str, TokenDistribution] = {
    "plain": Categorical(),
    "cold": Categorical(0.6),
    "hot": Categorical(1.7),
    "nucleus": Categorical(0.8, top_p=0.7),
    "top-k": Categorical(1.3, top_k=5),
    "both": Categorical(0.9, top_k=9, top_p=0.8),
}


def raw_model(
    architecture: str = "llama", dtype: torch.dtype = torch.float64, seed: int = 0, **changes: Any
) -> Any:
    """A tiny transformers model as it comes, with weights large enough for logits to differ."""
    from transformers import AutoConfig, AutoModelForCausalLM

    kind, options = CONFIGURATIONS.get(architecture, (architecture, {}))
    config = AutoConfig.for_model(
        kind,
        **{**options, "bos_token_id": None, "eos_token_id": None, "pad_token_id": 0, **changes},
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(3).add_(0.05 * torch.randn_like(parameter))
    return model.to(dtype).eval()


def pair(
    architecture: str = "llama",
    dtype: torch.dtype = torch.float64,
    end_tokens: tuple[int, ...] = (5, 7),
    **changes: Any,
) -> tuple[TransformersLanguageModel, Any]:
    """A language model under test, and an untouched copy of the raw model for the oracle."""
    raw = raw_model(architecture, dtype, **changes)
    return TransformersLanguageModel(copy.deepcopy(raw), end_tokens), raw


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def packed_batch(length: int = 25, vocabulary: int = VOCABULARY) -> SequenceBatch:
    """One document; three packed ones; padding before two documents; padding after one."""
    sequences = torch.randint(vocabulary, (4, length), generator=seeded(3))
    documents = torch.zeros(4, length, dtype=torch.long)
    documents[1, length // 3 :] = 4
    documents[1, 2 * length // 3 :] = 1
    documents[2, length // 2 :] = 1
    mask = torch.ones(4, length, dtype=torch.bool)
    mask[2, :4] = False
    mask[3, -6:] = False
    return SequenceBatch.of(sequences, mask, documents, ids=torch.tensor([7, 2, 11, 3]))


def padded(batch: SequenceBatch, before: int, after: int, fill: int = 0) -> SequenceBatch:
    """The same text with more padding, filled with any token and any document."""

    def pad(value: Tensor, with_: int) -> Tensor:
        return torch.nn.functional.pad(value, (before, after), value=with_)

    return dataclasses.replace(
        batch,
        sequences=pad(batch.sequences, fill),
        documents=pad(batch.documents, fill),
        sequence_mask=torch.nn.functional.pad(batch.sequence_mask, (before, after), value=False),
        targets=None if batch.targets is None else pad(batch.targets, True),
    )


def draw(
    model: Any,
    batch: SequenceBatch,
    distribution: TokenDistribution | None = None,
    *,
    samples: int = 2,
    horizon: int = 4,
    stride: int = 4,
    context: int = 3,
    seed: int = 0,
) -> Rollouts:
    sampler = BlockParallelSampler(StridedAnchors(stride, context), horizon, samples, distribution)
    return sampler.sample(model, batch, generator=seeded(seed))


def made_rollouts(
    batch: SequenceBatch,
    anchors: Tensor,
    completions: Tensor,
    *,
    anchor_mask: Tensor | None = None,
    completion_mask: Tensor | None = None,
    distribution: TokenDistribution | None = None,
) -> Rollouts:
    """Rollouts with given completions (batch, anchor, sample, token)."""
    if anchor_mask is None:
        anchor_mask = torch.ones_like(anchors, dtype=torch.bool)
    if completion_mask is None:
        completion_mask = torch.ones_like(completions, dtype=torch.bool)
    references, reference_mask = gather_continuations(
        batch, anchors, anchor_mask, completions.shape[-1]
    )
    return Rollouts(
        batch=batch,
        anchors=anchors,
        anchor_mask=anchor_mask,
        completions=completions,
        completion_mask=completion_mask & anchor_mask[:, :, None, None],
        references=references,
        reference_mask=reference_mask,
        log_probs=torch.zeros(completions.shape),
        distribution=Categorical() if distribution is None else distribution,
    )


def document_start(batch: SequenceBatch, row: int, place: int) -> int:
    """Index of the first token of the document that ``place`` of a row stands in, by walking."""
    start = place
    while (
        start > 0
        and batch.sequence_mask[row, start - 1]
        and batch.documents[row, start - 1] == batch.documents[row, place]
    ):
        start -= 1
    return start


def prefix_of(batch: SequenceBatch, row: int, anchor: int) -> list[int]:
    """Token ids that a rollout at ``anchor`` continues: those before it in its document."""
    tokens: list[int] = batch.sequences[row].tolist()
    return tokens[document_start(batch, row, anchor - 1) : anchor]


def visible(batch: SequenceBatch, row: int, anchor: int) -> range:
    """Trunk tokens that a rollout at ``anchor`` sees."""
    return range(document_start(batch, row, anchor - 1), anchor)


def naive_log_probs(logits: Tensor, distribution: TokenDistribution) -> list[float]:
    """The distribution of one token from its logits (vocabulary,), by the words of the docstring:
    temper, keep the top k, of these the fewest that make up top p, renormalise."""
    assert isinstance(distribution, Categorical)
    weights = (logits.double() / distribution.temperature).softmax(-1).tolist()
    order = sorted(range(len(weights)), key=lambda token: -weights[token])
    if distribution.top_k is not None:
        order = order[: distribution.top_k]
    kept, total = [], sum(weights[token] for token in order)
    mass = 0.0
    for token in order:
        kept.append(token)
        mass += weights[token] / total
        if distribution.top_p is not None and mass >= distribution.top_p:
            break
    total = sum(weights[token] for token in kept)
    log_probs = [float("-inf")] * len(weights)
    for token in kept:
        log_probs[token] = float(torch.tensor(weights[token] / total, dtype=torch.float64).log())
    return log_probs


@torch.no_grad()
def plain_logits(raw: Any, context: list[int]) -> Tensor:
    """Next-token logits (vocabulary,) of a raw transformers model."""
    logits: Tensor = raw(input_ids=torch.tensor([context])).logits[0, -1]
    return logits


def table_row(model: Any, context: list[int]) -> int:
    """Row of a tabular model's logits for a context, found as a number is read."""
    window = ([model.vocabulary_size] * model.order + context)[-model.order :]
    row = 0
    for token in reversed(window):
        row = row * (model.vocabulary_size + 1) + token
    return row


@torch.no_grad()
def table_logits(model: Any, context: list[int]) -> Tensor:
    """Next-token logits (vocabulary,) of a tabular model."""
    logits: Tensor = model.logits[table_row(model, context)]
    return logits


def branches(rollouts: Rollouts) -> list[tuple[int, int, int, list[int]]]:
    """(row, anchor's place, sample, tokens) of every rollout at a valid anchor."""
    found = []
    batch, anchor, sample, _ = rollouts.completions.shape
    for row in range(batch):
        for place in range(anchor):
            for number in range(sample):
                if rollouts.anchor_mask[row, place]:
                    mask = rollouts.completion_mask[row, place, number]
                    tokens = rollouts.completions[row, place, number][mask].tolist()
                    found.append((row, place, number, tokens))
    return found


@torch.no_grad()
def one_branch_at_a_time(raw: Any, rollouts: Rollouts) -> Tensor:
    """Log-probabilities (batch, anchor, sample, token) by a plain forward pass per branch."""
    scored = torch.zeros(rollouts.completions.shape, dtype=torch.float64)
    for row, place, number, tokens in branches(rollouts):
        prefix = prefix_of(rollouts.batch, row, int(rollouts.anchors[row, place]))
        logits = raw(input_ids=torch.tensor([prefix + tokens])).logits[0]
        for step, token in enumerate(tokens):
            log_probs = naive_log_probs(logits[len(prefix) + step - 1], rollouts.distribution)
            scored[row, place, number, step] = log_probs[token]
    return scored


@torch.no_grad()
def one_document_at_a_time(raw: Any, batch: SequenceBatch) -> Tensor:
    """Log-probability (batch, position) of real tokens, by a plain forward pass per token."""
    scored = torch.zeros(batch.sequences.shape, dtype=torch.float64)
    for row in range(len(batch)):
        for place in range(batch.sequences.shape[1]):
            start = document_start(batch, row, place)
            if batch.sequence_mask[row, place] and start < place:
                logits = plain_logits(raw, batch.sequences[row, start:place].tolist()).double()
                token = int(batch.sequences[row, place])
                scored[row, place] = logits.log_softmax(-1)[token]
    return scored


def gradients(model: Any, loss: Callable[[], Tensor]) -> dict[str, Tensor]:
    """Gradient of ``loss`` by the name of each parameter that has one."""
    model.zero_grad(set_to_none=True)
    loss().backward()
    return {
        name: parameter.grad.clone()
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }


def largest_difference(left: dict[str, Tensor], right: dict[str, Tensor]) -> float:
    assert left.keys() == right.keys()
    assert left
    return max(float((left[name] - right[name]).abs().max()) for name in left)
