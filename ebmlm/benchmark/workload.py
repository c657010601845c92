"""What is timed: a model, one sequence, its rollouts, and how many tokens and products that is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from ebmlm.energies.feature_matching import FeatureMatchingEnergy, cosine
from ebmlm.estimators import RLOO, mean_token_log_prob
from ebmlm.features.group_whitening import FeatureSpaceWhitening
from ebmlm.features.hidden_states import HiddenStateFeatures
from ebmlm.objectives.policy import PolicyObjective
from ebmlm.rollouts import Rollouts, SequenceBatch
from ebmlm.samplers import BlockParallelSampler, StridedAnchors
from ebmlm.taps import layer_stack
from ebmlm.transformers_model import TransformersLanguageModel

__all__ = ["Sizes", "Workload"]

T = TypeVar("T")


@dataclass(frozen=True)
class Sizes:
    """How much there is of everything.

    Attributes:
        length: tokens of the sequence, T.
        samples: rollouts per anchor, N.
        horizon: tokens of a rollout, G.
        stride: tokens between anchors; there are about ``length / stride`` of them, K.
        context: tokens before the first anchor.
    """

    length: int = 1024
    samples: int = 4
    horizon: int = 8
    stride: int = 8
    context: int = 8

    @property
    def anchors(self) -> int:
        """Rollouts start at so many places, K."""
        return max(0, (self.length - self.horizon - self.context) // self.stride + 1)

    @property
    def rows(self) -> int:
        """Tokens that are drawn, or scored: K N G, each of which needs logits."""
        return self.anchors * self.samples * self.horizon

    @property
    def tokens(self) -> int:
        """Tokens of trunk and branches, T + K N G."""
        return self.length + self.rows


class Workload:
    """A model as it is timed, and rollouts that it has drawn. No token ends them.

    Args:
        model: whose passes are timed, in the type of its weights.
        sizes: how much there is of everything.
        mixed: whether passes compute in bfloat16 over weights of another type, as in training.

    Raises:
        UserError: for a text that is too short for an anchor, or more tokens in all than the model
            has positions, since the floor has them in one row.
    """

    def __init__(self, model: TransformersLanguageModel, sizes: Sizes, mixed: bool = False) -> None:
        # The floor has all tokens in one row.
        model.check_length(sizes.tokens)
        self.model, self.sizes, self.mixed = model, sizes, mixed
        generator = torch.Generator().manual_seed(0)
        tokens = torch.randint(model.vocabulary_size, (1, sizes.length), generator=generator)
        self.batch = SequenceBatch.of(tokens.to(model.device))
        anchors = StridedAnchors(sizes.stride, sizes.context)
        self.sampler = BlockParallelSampler(anchors, sizes.horizon, sizes.samples)
        self.network = self.call(model.frozen)()
        self.features = HiddenStateFeatures(self.network)
        self.rollouts = self.call(self.draw)()

    def call(self, function: Callable[[], T]) -> Callable[[], T]:
        """The same function in the precision that is timed."""

        def called() -> T:
            with torch.autocast(self.model.device.type, torch.bfloat16, enabled=self.mixed):
                return function()

        return called

    def draw(self) -> Rollouts:
        """Draw rollouts, the same ones every time."""
        with self.endless():
            generator = torch.Generator().manual_seed(1)
            return self.sampler.sample(self.model, self.batch, generator=generator)

    def objective(self) -> PolicyObjective:
        """EBFT as published, over this workload's sampler and features."""
        energy = FeatureMatchingEnergy(
            self.features, whitening=FeatureSpaceWhitening(), similarity=cosine
        )
        return PolicyObjective(self.sampler, energy, RLOO(mean_token_log_prob))

    @contextmanager
    def endless(self) -> Iterator[None]:
        """Draw without end tokens, so that there is always as much to do."""
        ends, self.model.end_tokens = self.model.end_tokens, ()
        try:
            yield
        finally:
            self.model.end_tokens = ends

    @property
    def deepest(self) -> int:
        """Layers that the features need."""
        return max(self.features.layers)

    def everything(self) -> Tensor:
        """As many tokens in one plain row (batch, position)."""
        generator = torch.Generator().manual_seed(2)
        shape = (1, self.sizes.tokens)
        row = torch.randint(self.model.vocabulary_size, shape, generator=generator)
        return row.to(self.model.device)

    def body_flops(self, layers: int | None = None) -> int:
        """Products and sums of one forward pass over trunk and branches, attention included.

        Twice the weights of the layers for each token; attention as the tree needs it.
        """
        count = self.model.layer_count if layers is None else layers
        stack = layer_stack(self.model.body, self.model.layer_count)
        weights = sum(_weights(layer) for layer in stack[:count])
        sizes = self.sizes
        trunk = sizes.length * (sizes.length + 1) // 2
        seen = int(self.rollouts.anchors.sum()) * sizes.samples * sizes.horizon
        own = sizes.rows * (sizes.horizon + 1) // 2
        config: Any = self.model.body.config
        width = config.num_attention_heads * getattr(
            config, "head_dim", config.hidden_size // config.num_attention_heads
        )
        return 2 * weights * sizes.tokens + 4 * width * count * (trunk + seen + own)

    def head_flops(self) -> int:
        """Products and sums of the head over the rows that need logits."""
        return 2 * self.sizes.rows * self.model.hidden_size * self.model.vocabulary_size


def _weights(layer: torch.nn.Module) -> int:
    """Entries of a layer's matrices."""
    return sum(parameter.numel() for parameter in layer.parameters() if parameter.ndim == 2)
