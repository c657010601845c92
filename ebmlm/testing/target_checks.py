"""One line per part of a target: every law that applies to it, as in ebmlm.testing.checks."""

from __future__ import annotations

from ebmlm.targets.partition import Partition
from ebmlm.targets.samplers.base import TargetSampler
from ebmlm.targets.samplers.proposals import Proposal
from ebmlm.testing.laws import PARTITION_LAWS, PROPOSAL_LAWS, TARGET_SAMPLER_LAWS
from ebmlm.testing.laws.proof import EXAMPLES
from ebmlm.testing.laws.sampled import shortest_text
from ebmlm.testing.laws.target_sampler import draws_follow_the_target
from ebmlm.testing.laws.target_worlds import source_of
from ebmlm.testing.report import Exempt, Report, checked

__all__ = ["check_partition", "check_proposal", "check_target_sampler"]


def check_target_sampler(
    sampler: TargetSampler,
    *,
    exempt: Exempt | None = None,
    examples: int = EXAMPLES,
    name: str | None = None,
) -> Report:
    """Hold a sampler from a target to every law of target samplers.

    Best twice: with effort enough that its draws are the target's, and with so few candidates and
    tokens that every uniform number can be listed, exempt from ``draws_follow_the_target``.

    Args:
        sampler: what is judged; one that declares a bias need not follow the target.
        exempt: reasons, by the name of a law, why it may break it.
        examples: cases tried for each law; what is drawn for the multinomial test is fixed.
        name: what the report calls it; its class or function, unless given.

    Raises:
        BrokenLaws: with every law that is broken.
        UserError: for too long a horizon, a sampler that keeps no sampler of a language model, or
            an exemption from a law that there is not.
    """
    shortest_text(source_of(sampler))
    declared = dict(exempt or {})
    if sampler.bias:
        declared.setdefault(draws_follow_the_target.__name__, sampler.bias)
    return checked(name, sampler, TARGET_SAMPLER_LAWS, declared, examples)


def check_proposal(
    proposal: Proposal,
    *,
    exempt: Exempt | None = None,
    examples: int = EXAMPLES,
    name: str | None = None,
) -> Report:
    """Hold a proposal of Metropolis-Hastings chains to every law of proposals.

    Args:
        proposal: what is judged.
        exempt: reasons, by the name of a law, why it may break it.
        examples: cases tried for each law that is not exact.
        name: what the report calls it; its class or function, unless given.

    Raises:
        BrokenLaws: with every law that is broken.
        UserError: for an exemption from a law that there is not.
    """
    return checked(name, proposal, PROPOSAL_LAWS, exempt or {}, examples)


def check_partition(
    partition: Partition,
    *,
    exempt: Exempt | None = None,
    examples: int = EXAMPLES,
    name: str | None = None,
) -> Report:
    """Hold an estimate of partition functions to every law of these.

    Its ``bias`` is that of gradients, and excuses nothing here: the estimate itself is unbiased.

    Args:
        partition: what is judged.
        exempt: reasons, by the name of a law, why it may break it.
        examples: cases tried for each law that is not exact.
        name: what the report calls it; its class or function, unless given.

    Raises:
        BrokenLaws: with every law that is broken.
        UserError: for an exemption from a law that there is not.
    """
    return checked(name, partition, PARTITION_LAWS, exempt or {}, examples)
