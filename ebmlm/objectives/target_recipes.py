"""Tuning towards a target, as compositions a configuration file can name."""

from __future__ import annotations

from ebmlm.distribution import TokenDistribution
from ebmlm.divergences import Divergence
from ebmlm.errors import UserError
from ebmlm.estimators.base import Estimator
from ebmlm.estimators.rloo import RLOO
from ebmlm.language_model import LanguageModel
from ebmlm.objectives.energy_recipes import EnergyRecipe
from ebmlm.objectives.policy import PolicyObjective
from ebmlm.samplers.anchors import AnchorPlacement, StridedAnchors
from ebmlm.samplers.block_parallel import BlockParallelSampler
from ebmlm.targets.energy_model import EnergyModel
from ebmlm.targets.partition import Partition
from ebmlm.targets.tuning import DivergenceEnergy
from ebmlm.texts import Texts

__all__ = ["dpg"]


def dpg(
    model: LanguageModel,
    texts: Texts,
    *,
    energy: EnergyRecipe,
    temperature: float = 1.0,
    divergence: Divergence | None = None,
    partition: Partition | None = None,
    anchors: AnchorPlacement | None = None,
    horizon: int = 16,
    samples: int = 8,
    distribution: TokenDistribution | None = None,
    cross_entropy: float = 0.0,
    estimator: Estimator | None = None,
) -> PolicyObjective:
    """Distributional policy gradient: towards ``p_LM exp(-E / temperature)``, by an f-divergence.

    DPG (Parshakova et al. 2019) with the forward KL and per-context partition functions (Korbak et
    al. 2022); f-DPG (Go et al. 2023) with others. docs/mathematics.md, "Towards a target".

    Args:
        model: the policy; the target's language model is the policy as it is now.
        texts: of the run.
        energy: E, which must be one of each completion alone.
        temperature: divisor of the energy.
        divergence: of the policy from the target; by default the forward KL.
        partition: how log Z is taken; by default from each context's own rollouts.
        anchors: where rollouts start; by default every 32 tokens, the first after 32. For
            prompt-completion pairs, ``PromptEnd``.
        horizon: tokens of a rollout at most.
        samples: rollouts per anchor.
        distribution: how tokens are drawn, by policy and target alike; plain by default.
        cross_entropy: weight gamma of cross-entropy on the real text, nats a token.
        estimator: by default RLOO with sequence credit.

    Raises:
        UserError: for an option out of range, or parts that do not fit together.
    """
    if samples < 2:
        raise UserError(f"samples is {samples}: a partition function needs at least 2 rollouts")
    target = EnergyModel(model.frozen(), energy(model, texts), temperature, distribution)
    anchors = StridedAnchors(stride=32, context=32) if anchors is None else anchors
    return PolicyObjective(
        BlockParallelSampler(anchors, horizon, samples, distribution),
        DivergenceEnergy(target, divergence, partition),
        RLOO() if estimator is None else estimator,
        cross_entropy=cross_entropy,
    )
