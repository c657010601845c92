from __future__ import annotations

import pytest
import torch
from torch import nn

from ebmlm.training import forward_through


class Wrapper(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.calls = 0

    def forward(self) -> object:
        self.calls += 1
        return self.inner()


def test_a_function_runs_as_the_wrapped_forward() -> None:
    inner = nn.Linear(2, 2)
    wrapper = Wrapper(inner)
    value = torch.ones(1, 2)
    found = forward_through(wrapper, inner, lambda: inner(value) * 2)
    assert wrapper.calls == 1
    torch.testing.assert_close(found, inner(value) * 2)


def test_the_forward_comes_back_even_after_an_error() -> None:
    inner = nn.Linear(2, 2)

    def fail() -> None:
        raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        forward_through(Wrapper(inner), inner, fail)
    assert "forward" not in inner.__dict__
    inner.forward = lambda value: value  # type: ignore
    forward_through(inner, inner, lambda: None)
    assert inner(3) == 3
