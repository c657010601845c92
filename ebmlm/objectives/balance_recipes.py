"""Balance with a target, from fresh and remembered rollouts, as a composition to name in a file."""

from __future__ import annotations

from dataclasses import dataclass

from ebmlm.distribution import TokenDistribution
from ebmlm.estimators.log_variance import LogVariance
from ebmlm.language_model import LanguageModel
from ebmlm.objectives.energy_recipes import EnergyRecipe
from ebmlm.objectives.policy import PolicyObjective
from ebmlm.samplers.anchors import AnchorPlacement, StridedAnchors
from ebmlm.samplers.base import Sampler
from ebmlm.samplers.block_parallel import BlockParallelSampler
from ebmlm.samplers.replay import ReplaySampler
from ebmlm.samplers.replay_buffer import ReplayBuffer
from ebmlm.targets.draws import DensityPriority
from ebmlm.targets.energy_model import EnergyModel
from ebmlm.targets.tuning import TargetEnergy
from ebmlm.texts import Texts

__all__ = ["Replay", "log_variance"]


@dataclass(frozen=True)
class Replay:
    """What is learned from again.

    Attributes:
        samples: remembered rollouts per anchor, beside the fresh ones.
        per_anchor: how many are kept of an anchor at most.
        capacity: how many are kept in all at most; the oldest are forgotten.
        priority_temperature: choose them in proportion to the target's density to the power of
            this one's inverse; null for all alike.
    """

    samples: int = 4
    per_anchor: int = 16
    capacity: int = 16384
    priority_temperature: float | None = None

    def beside(self, sampler: Sampler, target: EnergyModel) -> ReplaySampler:
        """A sampler of fresh rollouts and remembered ones.

        Raises:
            UserError: for a number out of range.
        """
        temperature = self.priority_temperature
        priority = None if temperature is None else DensityPriority(target, temperature)
        buffer = ReplayBuffer(self.capacity, self.per_anchor)
        return ReplaySampler(sampler, self.samples, buffer, priority)


def log_variance(
    model: LanguageModel,
    texts: Texts,
    *,
    energy: EnergyRecipe,
    temperature: float = 1.0,
    anchors: AnchorPlacement | None = None,
    horizon: int = 16,
    samples: int = 8,
    distribution: TokenDistribution | None = None,
    replay: Replay | None = None,
    cross_entropy: float = 0.0,
) -> PolicyObjective:
    """Balance: towards ``p_LM exp(-E / temperature)``, by the log-variance divergence.

    (Richter et al. 2020; as trajectory balance of language models, Hu et al. 2024.) Right for any
    rollouts, so that those of earlier steps can be learned from again. The energy must be finite.
    docs/mathematics.md, "Towards a target".

    Args:
        model: the policy; the target's language model is the policy as it is now.
        texts: of the run.
        energy: E, which must be one of each completion alone.
        temperature: divisor of the energy.
        anchors: where rollouts start; by default every 32 tokens, the first after 32. For
            prompt-completion pairs, ``PromptEnd``.
        horizon: tokens of a rollout at most.
        samples: fresh rollouts per anchor, at least 2.
        distribution: how tokens are drawn, by policy and target alike; plain by default.
        replay: what is learned from again; null for fresh rollouts alone.
        cross_entropy: weight gamma of cross-entropy on the real text, nats a token.

    Raises:
        UserError: for an option out of range, or parts that do not fit together.
    """
    target = EnergyModel(model.frozen(), energy(model, texts), temperature, distribution)
    anchors = StridedAnchors(stride=32, context=32) if anchors is None else anchors
    fresh = BlockParallelSampler(anchors, horizon, samples, distribution)
    return PolicyObjective(
        fresh if replay is None else replay.beside(fresh, target),
        TargetEnergy(target),
        LogVariance(),
        cross_entropy=cross_entropy,
    )
