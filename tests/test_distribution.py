"""Tempered, truncated and greedy distributions against a few lines of plain Python."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ebmlm.distribution import Categorical, Greedy, TokenDistribution, _invert
from tests.helpers import DISTRIBUTIONS, naive_log_probs, seeded

ONE = math.nextafter(1.0, 0.0)


def _all_log_probs(distribution: Categorical, logits: Tensor) -> Tensor:
    """Log-probability (vocabulary,) of every token given logits (vocabulary,)."""
    tokens = torch.arange(len(logits))
    return distribution.log_prob(logits.expand(len(logits), -1), tokens)


categoricals = st.builds(
    Categorical,
    temperature=st.sampled_from([0.3, 0.6, 1.0, 2.0]),
    top_k=st.sampled_from([None, 1, 2, 5, 100]),
    top_p=st.sampled_from([None, 0.05, 0.5, 0.9, 1.0]),
)


@given(categoricals, st.integers(1, 12), st.integers(0, 1000))
def test_equals_the_definition(distribution: Categorical, size: int, seed: int) -> None:
    logits = 2 * torch.randn(size, dtype=torch.float64, generator=seeded(seed))
    expected = torch.tensor(naive_log_probs(logits, distribution), dtype=torch.float64)
    kept = expected.isfinite()
    log_probs = _all_log_probs(distribution, logits)
    torch.testing.assert_close(log_probs[kept], expected[kept], atol=1e-10, rtol=0)
    assert log_probs[kept].exp().sum() == pytest.approx(1)
    # What is drawn stays within what is kept, at either end of the uniform numbers.
    uniforms = torch.cat(
        [torch.tensor([0.0, ONE]), torch.rand(20, generator=seeded(seed))]
    ).double()
    drawn = distribution.sample(logits.expand(22, -1), uniforms)
    assert kept[drawn].all()


@given(categoricals, st.integers(1, 12), st.integers(0, 1000))
def test_all_log_probabilities_equal_the_definition(
    distribution: Categorical, size: int, seed: int
) -> None:
    """Row by row, with minus infinity at what is never drawn."""
    logits = 2 * torch.randn(3, size, dtype=torch.float64, generator=seeded(seed))
    rows = [naive_log_probs(row, distribution) for row in logits]
    expected = torch.tensor(rows, dtype=torch.float64)
    torch.testing.assert_close(distribution.log_probs(logits), expected, atol=1e-10, rtol=0)


@pytest.mark.parametrize(
    "distribution", [Categorical(), Categorical(0.5), Categorical(top_k=3), Categorical(top_p=0.8)]
)
def test_all_log_probabilities_have_the_gradient_of_each(distribution: Categorical) -> None:
    logits = torch.randn(1, 7, dtype=torch.float64, generator=seeded(4), requires_grad=True)
    log_probs = distribution.log_probs(logits)
    for token in (log_probs[0] > -torch.inf).nonzero().flatten():
        alone = distribution.log_prob(logits, token.view(1)).sum()
        torch.testing.assert_close(log_probs[0, token], alone)
        found, expected = (
            torch.autograd.grad(value, logits, retain_graph=True)[0]
            for value in (log_probs[0, token], alone)
        )
        torch.testing.assert_close(found, expected)


def test_all_log_probabilities_of_greedy() -> None:
    logits = torch.tensor([[1.0, 3.0, 3.0], [5.0, 3.0, 3.0]], requires_grad=True)
    log_probs = Greedy().log_probs(logits)
    assert log_probs.exp().tolist() == [[0, 1, 0], [1, 0, 0]]
    assert log_probs[0, 1] == 0
    assert not log_probs.requires_grad


class _HalfUniform(TokenDistribution):
    """Somebody's own, which says only how probable a token is."""

    temperature = 1.0

    def log_prob(self, logits: Tensor, tokens: Tensor) -> Tensor:
        softmax = logits.softmax(-1).gather(-1, tokens.unsqueeze(-1)).squeeze(-1)
        return ((softmax + 1 / logits.shape[-1]) / 2).log()

    def sample(self, logits: Tensor, uniforms: Tensor) -> Tensor:
        raise NotImplementedError


def test_all_log_probabilities_of_a_distribution_of_ones_own() -> None:
    logits = torch.randn(4, 5, dtype=torch.float64, generator=seeded(0), requires_grad=True)
    log_probs = _HalfUniform().log_probs(logits)
    rows = [naive_log_probs(row, Categorical()) for row in logits.detach()]
    expected = (torch.tensor(rows, dtype=torch.float64).exp() + 0.2) / 2
    torch.testing.assert_close(log_probs.exp().detach(), expected, atol=1e-12, rtol=0)
    (gradient,) = torch.autograd.grad(log_probs[2].sum(), logits)
    assert (gradient[2] != 0).all()
    assert not gradient[[0, 1, 3]].any()


@given(categoricals, st.integers(0, 1000))
def test_inversion_cuts_the_unit_interval_by_probability(
    distribution: Categorical, seed: int
) -> None:
    logits = 2 * torch.randn(6, dtype=torch.float64, generator=seeded(seed))
    probabilities = torch.tensor(naive_log_probs(logits, distribution), dtype=torch.float64).exp()
    ends = probabilities.cumsum(0)
    middles = ends - probabilities / 2
    for token, middle in enumerate(middles.tolist()):
        if probabilities[token] > 1e-9:
            uniform = torch.tensor([middle], dtype=torch.float64)
            assert distribution.sample(logits.unsqueeze(0), uniform).tolist() == [token]


def test_nucleus_by_hand() -> None:
    logits = torch.tensor([0.1, 0.5, 0.3, 0.1], dtype=torch.float64).log()
    for top_p, kept in ((0.49, [1]), (0.51, [1, 2]), (0.79, [1, 2]), (0.81, [0, 1, 2, 3])):
        log_probs = _all_log_probs(Categorical(top_p=top_p), logits)
        share = sum([0.1, 0.5, 0.3, 0.1][token] for token in kept)
        for token in kept:
            assert log_probs[token].exp() == pytest.approx([0.1, 0.5, 0.3, 0.1][token] / share)
        drawn = Categorical(top_p=top_p).sample(
            logits.expand(200, -1), torch.linspace(0, ONE, 200, dtype=torch.float64)
        )
        assert sorted(set(drawn.tolist())) == kept


def test_the_nucleus_is_taken_of_the_top_k() -> None:
    logits = torch.tensor([0.4, 0.3, 0.2, 0.1], dtype=torch.float64).log()
    # Of the top two, 4/7 and 3/7, the first alone makes up a half; of all four it does not.
    drawn = Categorical(top_k=2, top_p=0.5).sample(
        logits.unsqueeze(0), torch.tensor([ONE]).double()
    )
    assert drawn.tolist() == [0]
    drawn = Categorical(top_p=0.5).sample(logits.unsqueeze(0), torch.tensor([ONE]).double())
    assert drawn.tolist() == [1]


def test_ties_at_the_edge_are_all_kept() -> None:
    logits = torch.tensor([1.0, 2.0, 1.0, 0.0])
    for distribution in (Categorical(top_k=2), Categorical(top_p=0.65)):
        log_probs = _all_log_probs(distribution, logits)
        assert log_probs[[0, 1, 2]].exp().sum() == pytest.approx(1)


@pytest.mark.parametrize(
    "distribution", [Categorical(), Categorical(0.5), Categorical(top_k=3), Categorical(top_p=0.8)]
)
def test_gradient_is_that_of_the_log_softmax_over_what_is_kept(distribution: Categorical) -> None:
    logits = torch.randn(7, dtype=torch.float64, generator=seeded(4), requires_grad=True)
    expected = torch.tensor(naive_log_probs(logits.detach(), distribution), dtype=torch.float64)
    token = int(expected.argmax())
    (gradient,) = torch.autograd.grad(
        distribution.log_prob(logits.unsqueeze(0), torch.tensor([token])).sum(), logits
    )
    one_hot = torch.zeros(7, dtype=torch.float64)
    one_hot[token] = 1
    torch.testing.assert_close(gradient, (one_hot - expected.exp()) / distribution.temperature)


def test_a_drawn_token_outside_the_truncation_is_counted_in() -> None:
    logits = torch.tensor([[3.0, 1.0, 0.0]])
    log_prob = Categorical(top_k=1).log_prob(logits, torch.tensor([1]))
    assert log_prob.exp() == pytest.approx(math.exp(1) / (math.exp(3) + math.exp(1)))


def test_greedy_takes_the_first_of_the_best() -> None:
    logits = torch.tensor([[1.0, 3.0, 3.0], [5.0, 3.0, 3.0]])
    greedy = Greedy()
    assert greedy.sample(logits, torch.tensor([ONE, 0.0])).tolist() == [1, 0]
    assert greedy.log_prob(logits, torch.tensor([1, 0])).tolist() == [0.0, 0.0]
    assert greedy.temperature == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0.0}, r"temperature is 0.0.*Greedy"),
        ({"temperature": -1.0}, "temperature is -1.0"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"top_k": 0}, "top_k is 0"),
        ({"top_p": 0.0}, "top_p is 0.0"),
        ({"top_p": 1.5}, "top_p is 1.5"),
        ({"top_p": float("nan")}, "top_p is nan"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Categorical(**options)  # type: ignore[arg-type]


def _naive_inverse(weights: list[float], uniform: float) -> int:
    target, running = uniform * math.fsum(weights), 0.0
    for index, weight in enumerate(weights):
        running += weight
        if running > target:
            return index
    return max(index for index, weight in enumerate(weights) if weight > 0)


@given(
    st.lists(st.sampled_from([0.0, 0.0, 0.25, 1.0, 3.0]), min_size=1, max_size=600).filter(any),
    st.lists(st.sampled_from([0.0, 0.125, 0.5, 0.9, ONE]), min_size=1, max_size=4),
)
def test_inversion_equals_walking(weights: list[float], uniforms: list[float]) -> None:
    drawn, _ = _invert(
        torch.tensor(weights, dtype=torch.float64).expand(len(uniforms), -1),
        torch.tensor(uniforms, dtype=torch.float64),
    )
    assert drawn.tolist() == [_naive_inverse(weights, uniform) for uniform in uniforms]


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 511, 512, 513, 49_152, 50_257])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_no_token_without_weight_is_ever_drawn(size: int, dtype: torch.dtype) -> None:
    """One token with weight, first, last or in between, is drawn by every uniform number."""
    uniforms = torch.tensor([0.0, 1e-300, 0.5, ONE], dtype=torch.float64)
    for place in {0, size // 2, size - 1}:
        weights = torch.zeros(4, size, dtype=dtype)
        weights[:, place] = 0.1
        assert _invert(weights, uniforms)[0].tolist() == [place] * 4


@pytest.mark.parametrize("size", [300, 50_257])
def test_the_ends_of_the_uniform_numbers_draw_the_ends_of_the_vocabulary(size: int) -> None:
    for seed in range(20):
        weights = torch.rand(1, size, generator=seeded(seed)) + 0.01
        weights[:, 7:20] = 0
        weights[:, -3:] = 0
        weights[:, :2] = 0
        assert _invert(weights, torch.tensor([0.0], dtype=torch.float64))[0].tolist() == [2]
        last = _invert(weights, torch.tensor([ONE], dtype=torch.float64))[0]
        assert last.tolist() == [size - 4]


def test_a_large_vocabulary_is_drawn_evenly() -> None:
    """Uniform weights in float32: token i is drawn by uniform numbers in [i, i + 1) / V."""
    size = 50_257
    tokens = torch.randint(size, (200,), generator=seeded(0))
    uniforms = (tokens.double() + 0.5) / size
    drawn, _ = _invert(torch.full((200, size), 1 / 3), uniforms)
    assert torch.equal(drawn, tokens)


@pytest.mark.parametrize("distribution", DISTRIBUTIONS.values(), ids=DISTRIBUTIONS)
@pytest.mark.parametrize("size", [5, 300, 1030])
def test_drawing_says_how_probable_it_was(size: int, distribution: TokenDistribution) -> None:
    logits = 2 * torch.randn(40, size, generator=seeded(0), dtype=torch.float64)
    before = logits.clone()
    uniforms = torch.rand(40, generator=seeded(1), dtype=torch.float64)
    tokens, log_probs = distribution.draw(logits, uniforms)
    assert torch.equal(tokens, distribution.sample(logits, uniforms))
    torch.testing.assert_close(log_probs, distribution.log_prob(logits, tokens))
    assert torch.equal(logits, before)


@pytest.mark.parametrize("scale", [0.01, 1.0, 5.0])
@pytest.mark.parametrize("top_p", [0.3, 0.9, 0.999])
def test_nuclei_of_any_size_are_the_fewest_tokens(scale: float, top_p: float) -> None:
    """Larger and smaller than what is sorted at first, in one batch."""
    logits = scale * torch.randn(6, 1500, generator=seeded(2), dtype=torch.float64)
    logits[0, 3] += 30
    found = Categorical(top_p=top_p).log_probs(logits) > -torch.inf
    ordered, index = logits.softmax(-1).sort(descending=True)
    count = (ordered.cumsum(-1) < top_p).sum(-1) + 1
    for row in range(6):
        expected = set(index[row, : count[row]].tolist())
        assert set(found[row].nonzero().flatten().tolist()) == expected
