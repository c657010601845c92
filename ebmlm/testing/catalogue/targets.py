"""The package's target samplers, proposals of chains, and estimates of partition functions."""

from __future__ import annotations

from functools import partial

from ebmlm.distribution import Categorical, TokenDistribution
from ebmlm.samplers import AutoregressiveSampler, GivenAnchors
from ebmlm.targets import FixedPartition, GroupPartition, LeaveOneOutPartition
from ebmlm.targets.samplers import (
    BestOfN,
    ImportanceResampling,
    IndependentProposal,
    InfillProposal,
    MetropolisHastings,
    MixedProposal,
    QuasiRejection,
    SequentialMonteCarlo,
    SuffixProposal,
    potential_so_far,
)
from ebmlm.testing import bugs, laws, target_checks
from ebmlm.testing.bugs.particles import TwoTokens
from ebmlm.testing.catalogue.kind import Kind

__all__ = ["PARTITIONS", "PROPOSALS", "TARGET_SAMPLERS"]


def _source(
    samples: int, horizon: int = 2, distribution: TokenDistribution | None = None
) -> AutoregressiveSampler:
    return AutoregressiveSampler(horizon, samples, distribution, GivenAnchors())


_TOO_FEW = {
    "draws_follow_the_target": "too little effort for its limit: small enough for what is exact"
}

TARGET_SAMPLERS = Kind(
    "target samplers",
    laws.TARGET_SAMPLER_LAWS,
    target_checks.check_target_sampler,
    {
        "Importance": lambda: ImportanceResampling(_source(100, 2, Categorical(1.3)), 2),
        "Importance, two candidates": lambda: ImportanceResampling(_source(2)),
        "QuasiRejection": lambda: QuasiRejection(_source(40), 1.6, 2, rounds=4),
        "QuasiRejection, two candidates": lambda: QuasiRejection(_source(2), rounds=1),
        "QuasiRejection, two rounds": lambda: QuasiRejection(_source(1, 1), rounds=2),
        "MetropolisHastings": lambda: MetropolisHastings(_source(2), steps=16),
        "MetropolisHastings, independent": lambda: MetropolisHastings(
            _source(1), IndependentProposal(), steps=16
        ),
        "MetropolisHastings, spans": lambda: MetropolisHastings(
            _source(1, 3), MixedProposal([InfillProposal(1), SuffixProposal()]), steps=30
        ),
        "SequentialMonteCarlo": lambda: SequentialMonteCarlo(
            _source(60), 2, twist=potential_so_far
        ),
        "SequentialMonteCarlo, untwisted": lambda: SequentialMonteCarlo(_source(2)),
        "SequentialMonteCarlo, two particles": lambda: SequentialMonteCarlo(
            _source(2), twist=potential_so_far, threshold=1.0
        ),
        "SequentialMonteCarlo, written out": TwoTokens,
        "BestOfN": lambda: BestOfN(_source(4), 2),
    },
    bugs.TARGET_SAMPLER_BUGS,
    dict.fromkeys(
        (
            "Importance, two candidates",
            "QuasiRejection, two candidates",
            "QuasiRejection, two rounds",
            "SequentialMonteCarlo, untwisted",
            "SequentialMonteCarlo, two particles",
            "SequentialMonteCarlo, written out",
        ),
        _TOO_FEW,
    ),
)

PROPOSALS = Kind(
    "proposals",
    laws.PROPOSAL_LAWS,
    target_checks.check_proposal,
    {
        "Independent": IndependentProposal,
        "Suffix": SuffixProposal,
        "Infill, one token": partial(InfillProposal, 1),
        "Infill, two tokens": partial(InfillProposal, 2),
        "Infill, everything": InfillProposal,
        "Mixed": lambda: MixedProposal([InfillProposal(1), SuffixProposal()]),
        "Mixed, weighed": lambda: MixedProposal([IndependentProposal(), InfillProposal(2)], [1, 2]),
    },
    bugs.PROPOSAL_BUGS,
)

PARTITIONS = Kind(
    "partitions",
    laws.PARTITION_LAWS,
    target_checks.check_partition,
    {
        "Fixed": partial(FixedPartition, 0.3),
        "Group": GroupPartition,
        "LeaveOneOut": LeaveOneOutPartition,
    },
    bugs.PARTITION_BUGS,
)
