"""Parts and options, as a configuration would name them."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from ebmlm.distribution import Categorical, TokenDistribution
from ebmlm.energies import cosine, inner_product
from ebmlm.estimators import (
    RLOO,
    Estimator,
    GroupNorm,
    Reinforce,
    mean_token_log_prob,
    sequence_log_prob,
)
from ebmlm.features import (
    Depths,
    FeatureSpaceWhitening,
    FirstToken,
    JointLength,
    LastToken,
    LayerLength,
    MeanToken,
    NoWhitening,
    PerToken,
    Pooling,
    Quartiles,
    SampleSpaceWhitening,
    Unnormalised,
    Whitening,
)
from ebmlm.samplers import StridedAnchors

__all__ = ["distributions", "ebft_options", "estimators", "poolings", "whitenings"]


def distributions(truncated: bool = False) -> SearchStrategy[TokenDistribution]:
    """Ways to draw a token: plain, cold, hot; and with ``truncated`` by top-k and top-p too."""
    found: list[TokenDistribution] = [Categorical(), Categorical(0.6), Categorical(1.7)]
    if truncated:
        found += [Categorical(top_k=1), Categorical(0.8, top_p=0.7), Categorical(top_k=2)]
    return st.sampled_from(found)


def poolings() -> SearchStrategy[Pooling]:
    """Every pooling there is."""
    return st.sampled_from([LastToken(), FirstToken(), MeanToken(), Quartiles(), PerToken()])


def whitenings() -> SearchStrategy[Whitening]:
    """Whitenings whose result for an anchor depends on that anchor alone."""
    return st.sampled_from([NoWhitening(), FeatureSpaceWhitening(), SampleSpaceWhitening()])


def estimators() -> SearchStrategy[Estimator]:
    """Every policy gradient there is, with either credit."""
    either = (sequence_log_prob, mean_token_log_prob)
    return st.sampled_from(
        [kind(credit=credit) for kind in (RLOO, Reinforce, GroupNorm) for credit in either]
    )


@st.composite
def ebft_options(draw: st.DrawFn, max_horizon: int = 3) -> dict[str, Any]:
    """Keyword options of :func:`ebmlm.objectives.recipes.ebft`, small enough for a table."""
    fractions = st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=1, max_size=2, unique=True)
    starts = st.sampled_from([None, StridedAnchors(1, 2), StridedAnchors(2, 1)])
    return {
        "anchors": draw(starts),
        "horizon": draw(st.integers(1, max_horizon)),
        "stride": draw(st.integers(1, 3)),
        "context": draw(st.integers(1, 3)),
        "samples": draw(st.integers(2, 4)),
        "distribution": draw(distributions(truncated=True)),
        "layers": Depths(tuple(draw(fractions))),
        "pooling": draw(poolings()),
        "normalisation": draw(st.sampled_from([Unnormalised(), JointLength(), LayerLength()])),
        "whitening": draw(whitenings()),
        "alignment": draw(st.sampled_from([1.0, 0.5, 0.0])),
        "diversity": draw(st.sampled_from([1.0, 0.5, 0.0])),
        "similarity": draw(st.sampled_from([cosine, inner_product])),
        "kl": draw(st.sampled_from([0.0, 0.1])),
        "cross_entropy": draw(st.sampled_from([0.0, 0.03])),
        "estimator": draw(estimators()),
    }
