"""Clock, memory, floors and what is computed from them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ebmlm.benchmark.cases import CASES, Case
from ebmlm.benchmark.clock import matrix_ceiling, median_seconds
from ebmlm.benchmark.floors import floor_features, floor_rollouts, floor_score
from ebmlm.benchmark.measure import Measurement, measure
from ebmlm.benchmark.memory import peak_bytes
from ebmlm.benchmark.workload import Sizes, Workload
from ebmlm.testing import tiny_transformer

CPU = torch.device("cpu")
SIZES = Sizes(length=20, samples=3, horizon=2, stride=4, context=4)
# Anchors at 4, 8, 12 and 16.
TOKENS = 20 + 4 * 3 * 2


def workload(**options: bool) -> Workload:
    return Workload(tiny_transformer(vocabulary=50, end_tokens=(1,)), SIZES, **options)


def test_contenders_take_turns() -> None:
    order: list[str] = []
    contenders = {name: (lambda name=name: order.append(name)) for name in "abc"}
    found = median_seconds(contenders, 3, CPU, cold={"c"})
    # A round that is not counted, without the cold one; then all in turn.
    assert order == list("ab" + "abc" * 3)
    assert found.keys() == contenders.keys()
    assert all(seconds >= 0 for seconds in found.values())


def test_the_ceiling_is_some_flops() -> None:
    assert matrix_ceiling(torch.float32, CPU, repetitions=1) > 1e8


def test_a_product_that_takes_long_is_taken_once(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[float] = []

    def seconds(product: object, device: torch.device) -> float:
        taken.append(60.0)
        return taken[-1]

    monkeypatch.setattr("ebmlm.benchmark.clock.seconds", seconds)
    assert matrix_ceiling(torch.bfloat16, CPU) == 2 * 256**3 / 60.0
    assert len(taken) == 1


def test_peak_memory_is_that_of_the_call() -> None:
    size = 200 * 2**20

    def hold() -> float:
        held = torch.ones(size // 4)
        return float(held[-1])

    kept = torch.ones(size // 4)
    for _ in range(2):
        assert 0.9 * size < peak_bytes(hold, CPU) < 1.5 * size
    assert peak_bytes(lambda: None, CPU) < 0.1 * size
    assert kept[0] == 1


def test_workloads_count_what_is_there() -> None:
    found = workload()
    assert (SIZES.anchors, SIZES.rows, SIZES.tokens) == (4, 24, TOKENS)
    assert found.rollouts.anchors.shape == (1, SIZES.anchors)
    assert found.everything().shape == (1, TOKENS)
    assert found.rollouts.completion_mask.all()
    assert found.model.end_tokens == (1,)
    assert found.deepest == 1


def test_flops_by_hand() -> None:
    """Two layers of width 16: four square projections and three of 16 x 24, for every token."""
    found = workload()
    matrices = 4 * 16 * 16 + 3 * 16 * 24
    assert found.head_flops() == 2 * 24 * 16 * 50
    seen = 20 * 21 // 2 + (4 + 8 + 12 + 16) * 6 + 12 * (1 + 2)
    assert found.body_flops() == 2 * (2 * matrices * TOKENS + 4 * 16 * seen)
    assert found.body_flops(layers=1) == found.body_flops() // 2


def test_floors_are_plain_passes_over_as_many_tokens() -> None:
    """The head on the last rows, causal attention over one row, gradients that are thrown away."""
    found = workload()
    tokens = found.everything()
    with torch.no_grad():
        logits = found.model.model(input_ids=tokens).logits[0, -24:]
    sums = floor_rollouts(found, tokens)
    torch.testing.assert_close(sums, logits.float().logsumexp(-1))
    states = floor_features(found, tokens)
    assert states.shape == (1, TOKENS, 16)
    expected = found.model.model(input_ids=tokens, output_hidden_states=True).hidden_states[1]
    torch.testing.assert_close(states, expected.detach())
    loss = floor_score(found, tokens)
    own = nn.functional.cross_entropy(logits.float(), tokens[0, -24:])
    torch.testing.assert_close(loss, own)
    assert all(parameter.grad is None for parameter in found.model.model.parameters())


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_every_case_runs_three_ways(name: str, mixed: bool) -> None:
    case = CASES[name](workload(mixed=mixed))
    assert (case.name, case.tokens) == (name, TOKENS)
    assert case.flops > 0
    for way in (case.ours, case.twin, case.floor):
        way()


def test_ratios_by_hand() -> None:
    """With sleeps for work: 20 ms of ours, 60 ms of the twin's, 10 ms of the floor's."""
    import time

    case = Case(
        "sleep",
        lambda: time.sleep(0.02),
        lambda: time.sleep(0.06),
        lambda: time.sleep(0.01),
        tokens=100,
        flops=10**6,
    )
    (found,) = measure([case], 1e9, CPU, repetitions=3, twin=True)
    assert found.twin_ratio == pytest.approx(found.twin_ratio)
    assert found.seconds >= 0.02
    assert found.tokens_per_second == pytest.approx(100 / found.seconds)
    assert found.flops_fraction == pytest.approx(1e6 / found.seconds / 1e9)
    assert found.twin_ratio is not None
    assert found.twin_ratio > 1
    assert found.floor_ratio > 1
    (found,) = measure([case], 1e9, CPU, repetitions=1, twin=False)
    assert found.twin_ratio is None
    assert found.twin_peak_bytes is None


def test_the_keys_of_the_json() -> None:
    keys = [
        "case",
        "seconds",
        "twin_ratio",
        "floor_ratio",
        "tokens_per_second",
        "flops_fraction",
        "peak_bytes",
        "twin_peak_bytes",
        "floor_peak_bytes",
    ]
    found = Measurement("score", 1.0, 2.0, 0.5, 10.0, 0.4, 1, 2, 3)
    assert list(found.as_json()) == keys
