"""Samplers from a target: which sequences does an energy-based model write?"""

from __future__ import annotations

from ebmlm.targets.samplers.base import TargetDraws, TargetSampler
from ebmlm.targets.samplers.best_of_n import BestOfN
from ebmlm.targets.samplers.importance import ImportanceResampling
from ebmlm.targets.samplers.metropolis_hastings import MetropolisHastings
from ebmlm.targets.samplers.proposals import (
    IndependentProposal,
    InfillProposal,
    MixedProposal,
    PrefixProposal,
    Proposal,
    Proposed,
    SuffixProposal,
)
from ebmlm.targets.samplers.quasi_rejection import QuasiRejection
from ebmlm.targets.samplers.smc import SequentialMonteCarlo, Twist, potential_so_far
from ebmlm.targets.samplers.twists import StillPossible

__all__ = [
    "BestOfN",
    "ImportanceResampling",
    "IndependentProposal",
    "InfillProposal",
    "MetropolisHastings",
    "MixedProposal",
    "PrefixProposal",
    "Proposal",
    "Proposed",
    "QuasiRejection",
    "SequentialMonteCarlo",
    "StillPossible",
    "SuffixProposal",
    "TargetDraws",
    "TargetSampler",
    "Twist",
    "potential_so_far",
]
