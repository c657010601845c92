"""Targets over a few completions, in which all that a target sampler does can be listed."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
from hypothesis import strategies as st
from torch import Tensor

from ebmlm.distribution import Categorical, TokenDistribution
from ebmlm.energies.base import Energy, EnergyTerms
from ebmlm.errors import UserError
from ebmlm.language_model import LanguageModel
from ebmlm.rollouts import Rollouts, Scores, SequenceBatch
from ebmlm.samplers.base import Sampler
from ebmlm.targets.energy_model import EnergyModel
from ebmlm.targets.samplers.base import TargetDraws, TargetSampler
from ebmlm.testing.completions import Completions, list_completions
from ebmlm.testing.describe import Readable
from ebmlm.testing.every_number import WatchedTable
from ebmlm.testing.laws.proof import DoesNotApply
from ebmlm.testing.laws.sampled import Sampling, as_pairs, samplings, shortest_text
from ebmlm.testing.multinomial import multinomial_p_bound
from ebmlm.testing.tabular import TabularLanguageModel

__all__ = [
    "ListedTarget",
    "TargetSampling",
    "drawn_numbers",
    "listed_targets",
    "random_targets",
    "source_of",
    "target_samplings",
    "too_unlikely",
]

_MOST_CELLS = 12


def source_of(sampler: TargetSampler) -> Sampler:
    """The sampler of a language model that a target sampler draws with: the first attribute.

    Raises:
        UserError: where it has none.
    """
    for value in vars(sampler).values():
        if isinstance(value, Sampler):
            return value
    raise UserError(
        f"{type(sampler).__name__} keeps no Sampler as an attribute, by which the laws know its"
        " anchors and horizon: keep the one that it draws from the language model with"
    )


class _WishedWeights(Energy):
    """Gives every string, whole or begun, the importance weight that the world wishes for."""

    def __init__(
        self,
        model: LanguageModel,
        target: TokenDistribution,
        proposed: TokenDistribution,
        temperature: float,
        horizon: int,
        forbidden: bool,
        largest: float,
    ) -> None:
        self.model, self.target, self.proposed = model, target, proposed
        self.temperature, self.horizon, self.forbidden = temperature, horizon, forbidden
        self.largest = largest

    def __call__(self, rollouts: Rollouts, scores: Scores) -> EnergyTerms:
        ratio = sum(
            sign * self.model.score(dataclasses.replace(rollouts, distribution=kind)).completions
            for sign, kind in ((1.0, self.target), (-1.0, self.proposed))
        )
        wished = self.wished(rollouts).log() - torch.as_tensor(ratio).sum(-1)
        return EnergyTerms(-self.temperature * wished.detach())

    def wished(self, rollouts: Rollouts) -> Tensor:
        """Weights (batch, anchor, sample): the largest, half of it, or none."""
        mask, tokens = rollouts.token_mask(), rollouts.completions
        length = mask.sum(-1)
        last = tokens.gather(-1, (length - 1).clamp(min=0).unsqueeze(-1)).squeeze(-1) == 1
        first = tokens[..., 0] == 1
        ends = bool(self.model.end_tokens)
        heavy = (length > 0) & (last if ends else last | first)
        weights = self.largest * torch.where(heavy, 1.0, 0.5).double()
        nothing = ~((tokens == 1) & mask).any(-1) & (length == self.horizon)
        return torch.where(nothing & self.forbidden, 0.0, weights)


@dataclass(frozen=True, eq=False)
class ListedTarget(Readable):
    """A target of two tokens whose importance weights are a largest one, half of it, and none.

    Attributes:
        model: of tokens with probability 1/3 and 2/3.
        target: whose weights under ``distribution`` these are.
        distribution: what the sampler draws tokens by.
        completions: that can be drawn.
        weights: (completion,) of these.
        token_cells: probabilities of tokens are multiples of one over this.
    """

    model: WatchedTable
    target: EnergyModel
    distribution: TokenDistribution
    completions: Completions
    weights: Tensor
    token_cells: int

    @property
    def proposed(self) -> Tensor:
        """Probabilities (completion,) of what the language model proposes."""
        return self.completions.log_probs().detach().exp()

    @property
    def unnormalised(self) -> Tensor:
        """``a`` (completion,), which adds up to the partition function."""
        return self.proposed * self.weights

    @property
    def batch(self) -> SequenceBatch:
        """The text, in a batch of one."""
        return self.completions.rollouts.batch

    def many(self, rows: int) -> SequenceBatch:
        """The text that many times, with ids from 0."""
        batch = self.batch.map(lambda tensor: tensor.expand(rows, *tensor.shape[1:]))
        return dataclasses.replace(batch, ids=torch.arange(rows))

    def __str__(self) -> str:
        return (
            f"two tokens of probability 1/3 and 2/3, end tokens {self.model.end_tokens}, weights"
            f" {self.weights.tolist()}, proposed by {self.distribution}, target under"
            f" {self.target.distribution} at temperature {self.target.temperature}"
        )


def listed_targets(
    source: Sampler, distribution: TokenDistribution, largest: float = 1.0
) -> list[ListedTarget]:
    """Three targets: plain, with an end token and another distribution, with a constraint.

    Args:
        source: says where rollouts start, and of how many tokens they are.
        distribution: how it draws tokens.
        largest: weight.

    Raises:
        DoesNotApply: for a distribution whose probabilities are no multiples of 1/12 or more.
    """
    length = shortest_text(source)
    found = []
    for ends, other, temperature, forbidden in (
        ((), None, 1.0, False),
        ((0,), Categorical(0.5), 2.0, False),
        ((), None, 2.0, True),
    ):
        model = WatchedTable(2, 1, ends)
        with torch.no_grad():
            model.logits.copy_(torch.tensor([[2, 1], [1, 2], [2, 1]]).double().log())
        target_distribution = distribution if other is None else other
        cells = _cells(model, distribution)
        text = torch.zeros(1, length, dtype=torch.long)
        batch = as_pairs(SequenceBatch.of(text, anchors=torch.full((1, 1), max(1, length - 1))))
        anchors, mask = source.anchors(batch, source.horizon)
        if anchors.shape[1] != 1 or not mask.all():
            raise DoesNotApply("it places several anchors even in its shortest text")
        possible = list_completions(
            model, batch, int(anchors), distribution, source.horizon
        ).possible()
        energy = _WishedWeights(
            model,
            target_distribution,
            distribution,
            temperature,
            source.horizon,
            forbidden,
            largest,
        )
        found.append(
            ListedTarget(
                model,
                EnergyModel(model, energy, temperature, target_distribution),
                distribution,
                possible,
                energy.wished(possible.rollouts)[0, 0],
                cells,
            )
        )
    return found


def _cells(model: TabularLanguageModel, distribution: TokenDistribution) -> int:
    probabilities = distribution.log_probs(model.logits.detach()).exp()
    for cells in range(1, _MOST_CELLS + 1):
        if ((probabilities * cells).round() / cells - probabilities).abs().max() < 1e-12:
            return cells
    raise DoesNotApply(
        f"its {distribution} draws tokens of probability 1/3 with one that is no small fraction:"
        " check it with a plain distribution too"
    )


def drawn_numbers(rollouts: Rollouts, listed: Completions) -> Tensor:
    """Number (row, sample) among the listed completions, -1 where it is none of them."""
    mask = rollouts.completion_mask[:, 0]
    tokens = torch.where(mask, rollouts.completions[:, 0], 0)
    digits = 3 ** torch.arange(tokens.shape[-1])
    code = ((tokens + 1) * mask * digits).sum(-1)
    known = ((listed.tokens + 1) * listed.mask * digits).sum(-1)
    same = code.unsqueeze(-1) == known
    return torch.where(same.any(-1), same.long().argmax(-1), -1)


class _Hashed(Energy):
    """Any numbers, by what a rollout says so far; the first token 0 may be ruled out."""

    def __init__(self, seed: int, scale: float, forbidden: bool) -> None:
        self.seed, self.scale, self.forbidden = seed, scale, forbidden

    def __call__(self, rollouts: Rollouts, scores: Scores) -> EnergyTerms:
        mask = rollouts.token_mask()
        place = torch.arange(1, rollouts.horizon + 1)
        tokens = torch.where(mask, rollouts.completions + 1, 0)
        total = (tokens * (place * 1.7 + self.seed * 0.31)).sum(-1).double()
        unary = self.scale * total.sin()
        # Broken by a beginning, and so by whatever follows.
        broken = (tokens[..., 0] == 1) & self.forbidden
        return EnergyTerms(torch.where(broken, torch.inf, unary))


@dataclass(frozen=True, eq=False)
class TargetSampling(Readable):
    """Text, a target, and a seed: all that a target sampler is asked to draw with."""

    sampling: Sampling
    target: EnergyModel

    @property
    def batch(self) -> SequenceBatch:
        """The text."""
        return self.sampling.batch

    def draw(self, sampler: TargetSampler, batch: SequenceBatch | None = None) -> TargetDraws:
        """Draw with a new generator of the same seed, from this text or another one."""
        generator = torch.Generator().manual_seed(self.sampling.seed)
        text = self.batch if batch is None else batch
        return sampler.draw(self.target, text, generator=generator)

    def __str__(self) -> str:
        energy = vars(self.target.energy)
        return f"{self.sampling}\n  energies {energy}, temperature {self.target.temperature}"


@st.composite
def target_samplings(draw: st.DrawFn, sampler: TargetSampler) -> TargetSampling:
    """Packed and padded text, a table, and a target with or without a constraint."""
    sampling = draw(samplings(source_of(sampler)))
    energy = _Hashed(
        draw(st.integers(0, 9)), draw(st.sampled_from([1.0, 0.0, 3.0])), draw(st.booleans())
    )
    other = draw(st.sampled_from([Categorical(), Categorical(0.7)]))
    target = EnergyModel(sampling.model, energy, draw(st.sampled_from([1.0, 0.5])), other)
    return TargetSampling(sampling, target)


def random_targets(source: Sampler) -> list[tuple[EnergyModel, Completions, Tensor]]:
    """Two targets, all that can be drawn, and the target's probabilities (completion,) of it."""
    length = shortest_text(source)
    found = []
    for seed, ends in enumerate([(), (1,)]):
        generator = torch.Generator().manual_seed(seed)
        model = TabularLanguageModel(2, 3, end_tokens=ends, generator=generator)
        text = torch.randint(2, (1, length), generator=generator)
        batch = as_pairs(SequenceBatch.of(text, anchors=torch.full((1, 1), max(1, length - 1))))
        anchors, mask = source.anchors(batch, source.horizon)
        anchor = int(anchors[mask][0])
        target = EnergyModel(model, _Hashed(seed + 1, 1.5, False), 1.2, Categorical(0.9))
        listed = list_completions(model, batch, anchor, source.distribution, source.horizon)
        listed = listed.possible()
        density = target.log_density(listed.rollouts)[0, 0]
        found.append((target, listed, density.softmax(0)))
    return found


def too_unlikely(counts: Tensor, probabilities: Tensor, chance: float) -> str | None:
    """What to say where a right sampler draws such counts less often than ``chance``."""
    bound = multinomial_p_bound(counts, probabilities)
    if bound >= chance:
        return None
    expected = (probabilities * counts.sum()).round(decimals=1).tolist()
    return (
        f"a right sampler draws such counts with probability {bound:.2g} at most\n"
        f"  counts {counts.tolist()}\n  expected {expected}"
    )
