"""The head of a learned energy: from a vector to a number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ebmlm.errors import UserError

__all__ = ["Head"]


class Head(nn.Module):
    """Layer norm, hidden layers with GELU, one output that starts at zero: a scalar in nats.

    At first every energy is zero, so that a residual model starts as its language model.

    Args:
        width: of the vectors.
        hidden: widths of the hidden layers; none for a linear head.
        seed: of the first weights; torch's own generator is left as it was.

    Raises:
        UserError: for a width under 1.
    """

    def __init__(self, width: int, hidden: Sequence[int] = (256,), seed: int = 0) -> None:
        super().__init__()
        for size in (width, *hidden):
            if size < 1:
                raise UserError(f"a layer of the head has width {size}: it must be at least 1")
        self.width = width
        self.hidden = tuple(hidden)
        layers: list[nn.Module] = [nn.LayerNorm(width, elementwise_affine=False)]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            for before, after in zip((width, *hidden), hidden, strict=False):
                layers += [nn.Linear(before, after), nn.GELU()]
        self.output = nn.Linear((width, *hidden)[-1], 1)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)
        self.layers = nn.Sequential(*layers)

    def forward(self, vectors: Tensor) -> Tensor:
        """Return one number (...) for each vector (..., feature), in the weights' own precision."""
        # Energies are differences of small numbers: no bfloat16 here.
        with torch.autocast(vectors.device.type, enabled=False):
            values: Tensor = self.output(self.layers(vectors.to(self.output.weight.dtype)))
        return values.squeeze(-1)

    def options(self) -> dict[str, Any]:
        """Return what makes another of the same shape, as what JSON can hold."""
        return {"width": self.width, "hidden": list(self.hidden)}

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Head:
        """Return a head of the shape that :meth:`options` told."""
        return cls(options["width"], options["hidden"])
