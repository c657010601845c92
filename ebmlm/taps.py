"""Hidden states of chosen layers, by hooks; layers above the deepest one chosen are not run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from torch import Tensor, nn

__all__ = ["Taps", "layer_stack"]


def layer_stack(body: nn.Module, count: int) -> nn.ModuleList:
    """The ``count`` layers of a transformers model's body, in order."""
    return next(
        module
        for module in body.modules()
        if isinstance(module, nn.ModuleList) and len(module) == count
    )


class Taps:
    """Keeps the hidden states after some layers of a transformers model's body.

    Used in a ``with`` block around a forward pass that is made inside :meth:`stopping`.

    Args:
        body: the model without its head.
        count: its number of layers, L.
        layers: numbers of layers wanted: 0 is the embeddings, L what the head reads, which the
            pass itself returns and the caller sets as ``last``.
    """

    class _Reached(Exception):
        pass

    def __init__(self, body: nn.Module, count: int, layers: Sequence[int]) -> None:
        self._stack = layer_stack(body, count)
        self._count, self._wanted = count, set(layers)
        self._states: dict[int, Tensor] = {}
        self.last: Tensor | None = None

    def __enter__(self) -> Taps:
        self._hooks = [
            self._stack[layer - 1].register_forward_hook(self._after(layer))
            for layer in self._wanted
            if 0 < layer < self._count
        ]
        if 0 in self._wanted:
            self._hooks.append(self._stack[0].register_forward_pre_hook(self._first))
        return self

    def __exit__(self, *exception: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def __getitem__(self, layer: int) -> Tensor:
        """The state (batch, node, feature) after ``layer`` layers."""
        if layer == self._count:
            assert self.last is not None
            return self.last
        return self._states[layer]

    @contextmanager
    def stopping(self) -> Iterator[None]:
        """Run a forward pass up to the deepest layer wanted."""
        with suppress(Taps._Reached):
            yield

    def _keep(self, layer: int, state: Tensor) -> None:
        self._states[layer] = state
        if layer == max(self._wanted):
            raise Taps._Reached

    def _after(self, layer: int) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            self._keep(layer, output[0] if isinstance(output, tuple) else output)

        return hook

    def _first(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        self._keep(0, inputs[0])
