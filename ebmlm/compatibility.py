"""Which architectures can take the prefix tree: refused by name, before any work.

Configurations that announce sliding windows or recurrent layers are refused from the
configuration. Everything else is tried: a handful of tokens laid out as a tree must score as each
branch does by itself in a plain forward pass of the model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from ebmlm.distribution import Categorical, TokenDistribution
from ebmlm.errors import UserError
from ebmlm.rollouts import Rollouts, SequenceBatch
from ebmlm.taps import layer_stack
from ebmlm.widening import widened

if TYPE_CHECKING:
    from ebmlm.transformers_model import TransformersLanguageModel

__all__ = ["check_tree_attention", "check_windows", "probe"]

# Largest difference in nats between the two ways of scoring the probe: rounding, not leakage.
# Both are computed in float32 at least, whatever the weights are held in.
_TOLERANCE = {torch.float64: 1e-4}


def _refuse(config: Any, reason: str) -> UserError:
    return UserError(
        f"model type '{config.model_type}' cannot take the prefix-tree attention mask: {reason};"
        " use a model with full causal attention in every layer (Llama, Qwen2/3, GPT-2, GPT-NeoX,"
        " OPT, Gemma 1, Mistral without window, ...)"
    )


def check_windows(config: Any) -> None:
    """Refuse a configuration with layers that do not attend to the whole prefix.

    Raises:
        UserError: naming the model type and the kind of layer.
    """
    text = config.get_text_config()
    kinds = set(getattr(text, "layer_types", None) or ()) - {"full_attention"}
    if kinds:
        raise _refuse(config, f"it has layers of type {', '.join(sorted(map(str, kinds)))}")
    window = getattr(text, "sliding_window", None)
    if window is not None and getattr(text, "use_sliding_window", True):
        raise _refuse(config, f"it attends through a sliding window of {window} tokens")
    if getattr(text, "is_encoder_decoder", False):
        raise _refuse(config, "it is an encoder-decoder")


def probe(vocabulary: int, device: torch.device) -> Rollouts:
    """Two documents, two anchors in the second, two branches of two tokens each."""
    sequences = (torch.arange(7, device=device) * 7 + 3).remainder(vocabulary).unsqueeze(0)
    documents = torch.tensor([[0, 0, 1, 1, 1, 1, 1]], device=device)
    batch = SequenceBatch.of(sequences, documents=documents)
    anchors = torch.tensor([[3, 5]], device=device)
    anchor_mask = torch.ones_like(anchors, dtype=torch.bool)
    completions = (torch.arange(8, device=device) * 5 + 1).remainder(vocabulary).view(1, 2, 2, 2)
    return Rollouts.given(batch, anchors, anchor_mask, completions, Categorical())


def _alone(model: Any, rollouts: Rollouts) -> torch.Tensor:
    """Score each branch of the probe by itself, in plain forward passes of the whole model."""
    scored = []
    for place, anchor in enumerate(rollouts.anchors[0].tolist()):
        prefix = rollouts.sequences[0, 2:anchor]
        rows = torch.cat(
            [prefix.expand(rollouts.samples, -1), rollouts.completions[0, place]], dim=1
        )
        logits = model(input_ids=rows, use_cache=False).logits
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(-1)
        targets = rows[:, len(prefix) :]
        predicting = logits[:, len(prefix) - 1 : -1]
        scored.append(predicting.gather(-1, targets.unsqueeze(-1)).squeeze(-1))
    return torch.stack(scored).unsqueeze(0)


@dataclass(frozen=True)
class _Forced(TokenDistribution):
    """Draws the given tokens, whatever the uniform numbers."""

    tokens: torch.Tensor

    @property
    def temperature(self) -> float:
        return 1.0

    def log_prob(self, logits: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        return Categorical().log_prob(logits, tokens)

    def sample(self, logits: torch.Tensor, uniforms: torch.Tensor) -> torch.Tensor:
        return self.tokens.flatten()


def _decoded(model: TransformersLanguageModel, rollouts: Rollouts) -> torch.Tensor:
    """Grow the probe's branches token by token, as a sampler would."""
    scored = []
    samples, horizon = rollouts.samples, rollouts.horizon
    anchors, mask = rollouts.anchors, rollouts.anchor_mask
    with model.start(rollouts.batch, anchors, mask, samples, horizon) as decoder:
        for tokens in rollouts.completions.unbind(-1):
            uniforms = torch.zeros(tokens.shape, device=tokens.device)
            scored.append(decoder.draw(_Forced(tokens), uniforms)[1])
            decoder.advance(tokens)
    return torch.stack(scored, dim=-1)


@torch.no_grad()
def check_tree_attention(model: TransformersLanguageModel, install: Callable[[], None]) -> None:
    """Score a probe as a tree, token by token and branch by branch; refuse where they differ.

    Args:
        model: the model to try, before ``install``.
        install: puts the tree attention in place.

    Raises:
        UserError: naming the model type and the reason.
    """
    config = model.model.config
    rollouts = probe(model.vocabulary_size, model.device)
    training = model.model.training
    model.model.eval()
    try:
        with (
            torch.autocast(model.device.type, enabled=False),
            widened(model.model, layer_stack(model.body, model.layer_count)),
        ):
            alone = _alone(model.model, rollouts)
            install()
            tree = model.score(rollouts).completions
            grown = _decoded(model, rollouts)
    except (
        ValueError,
        NotImplementedError,
        TypeError,
        KeyError,
        AttributeError,
        StopIteration,  # there are no layers
    ) as error:
        raise _refuse(config, f"its attention cannot be replaced ({error})") from error
    finally:
        model.model.train(training)
        torch.clear_autocast_cache()
    difference = max(float((other - alone).abs().max()) for other in (tree, grown))
    if not difference <= _TOLERANCE.get(model.model.dtype, 1e-3):
        raise _refuse(
            config,
            f"scored as a tree, a probe differs by {difference:.2g} nats from plain forward passes"
            " (recurrent state, position biases, or attention or logits of its own kind)",
        )
