"""One line per part: every law that applies to it.

Each ``check_*`` raises :class:`~ebmlm.testing.report.BrokenLaws`, an ``AssertionError`` with
smallest counterexamples, or returns a report. None of them needs pytest, and each is one line under
it (docs/testing.md, "One line").
"""

from __future__ import annotations

from ebmlm.energies.base import Energy
from ebmlm.estimators.base import Estimator
from ebmlm.features.base import FeatureMap
from ebmlm.language_model import LanguageModel
from ebmlm.objectives.policy import PolicyObjective
from ebmlm.samplers.base import Sampler
from ebmlm.testing.bias import measure_bias
from ebmlm.testing.energies import expected_energy
from ebmlm.testing.laws import (
    ENERGY_LAWS,
    ESTIMATOR_LAWS,
    FEATURE_MAP_LAWS,
    LANGUAGE_MODEL_LAWS,
    OBJECTIVE_LAWS,
    SAMPLER_LAWS,
)
from ebmlm.testing.laws.composition import expected_gradient_descends
from ebmlm.testing.laws.energy import first_variation
from ebmlm.testing.laws.estimator import baseline_excludes_its_own_sample
from ebmlm.testing.laws.exact_cases import Functional
from ebmlm.testing.laws.expectation import constants_vanish_in_expectation, unbiased
from ebmlm.testing.laws.policies import Recipe, Trained
from ebmlm.testing.laws.proof import EXAMPLES
from ebmlm.testing.laws.sampled import shortest_text
from ebmlm.testing.report import Exempt, Report, checked

__all__ = [
    "check_energy",
    "check_estimator",
    "check_feature_map",
    "check_language_model",
    "check_objective",
    "check_sampler",
]


def check_estimator(
    estimator: Estimator,
    *,
    functional: Functional = expected_energy,
    exempt: Exempt | None = None,
    examples: int = EXAMPLES,
    name: str | None = None,
) -> Report:
    """Hold an estimator to every law of estimators.

    One that declares a bias may break the laws that follow from unbiasedness; the report then
    tells how biased it is.

    Args:
        estimator: what is judged.
        functional: what its expected gradient is the gradient of: a function of the completions'
            probabilities, unary energies and pairwise energies (or None). Expected energy, unless
            given.
        exempt: reasons, by the name of a law, why it may break it.
        examples: cases tried for each law.
        name: what the report calls it; its class or function, unless given.

    Raises:
        BrokenLaws: with every law that is broken.
        UserError: for an exemption from a law that there is not.
    """
    declared = dict(exempt or {})
    if estimator.bias:
        reason = f"{estimator.bias}: {measure_bias(estimator, functional)}"
        for law in (unbiased, constants_vanish_in_expectation, baseline_excludes_its_own_sample):
            declared.setdefault(law.__name__, reason)
    options = {unbiased.__name__: {"functional": functional}}
    return checked(name, estimator, ESTIMATOR_LAWS, declared, examples, options)


def check_energy(
    energy: Energy,
    *,
    vocabulary: int = 3,
    exempt: Exempt | None = None,
    examples: int = EXAMPLES,
    name: str | None = None,
) -> Report:
    """Hold an energy to every law of energies.

    Args:
        energy: what is judged; one that declares a bias need not be a first variation.
        vocabulary: token ids that it understands are below this.
        exempt: reasons, by the name of a law, why it may break it.
        examples: cases tried for each law.
        name: what the report calls it; its class or function, unless given.

    Raises:
        BrokenLaws: with every law that is broken.
        UserError: for an exemption from a law that there is not.
    """
    declared = dict(exempt or {})
    if energy.bias:
        declared.setdefault(first_variation.__name__, energy.bias)
    options = {law.__name__: {"vocabulary": vocabulary} for law in ENERGY_LAWS}
    return checked(name, energy, ENERGY_LAWS, declared, examples, options)


def check_sampler(
    sampler: Sampler,
    *,
    exempt: Exempt | None = None,
    examples: int = EXAMPLES,
    name: str | None = None,
) -> Report:
    """Hold a sampler to every law of samplers, on tables of two and three tokens.

    Args:
        sampler: what is judged, with a horizon of at most 10.
        exempt: reasons, by the name of a law, why it may break it.
        examples: cases tried for each law; what is drawn for the multinomial test is fixed.
        name: what the report calls it; its class or function, unless given.

    Raises:
        BrokenLaws: with every law that is broken.
        UserError: for too long a horizon, or an exemption from a law that there is not.
    """
    shortest_text(sampler)
    return checked(name, sampler, SAMPLER_LAWS, exempt or {}, examples)


def check_feature_map(
    features: FeatureMap,
    *,
    vocabulary: int = 3,
    exempt: Exempt | None = None,
    examples: int = EXAMPLES,
    name: str | None = None,
) -> Report:
    """Hold a feature map to every law of feature maps.

    Args:
        features: what is judged.
        vocabulary: token ids that it understands are below this.
        exempt: reasons, by the name of a law, why it may break it.
        examples: cases tried for each law.
        name: what the report calls it; its class or function, unless given.

    Raises:
        BrokenLaws: with every law that is broken.
        UserError: for an exemption from a law that there is not.
    """
    options = {law.__name__: {"vocabulary": vocabulary} for law in FEATURE_MAP_LAWS}
    return checked(name, features, FEATURE_MAP_LAWS, exempt or {}, examples, options)


def check_language_model(
    model: LanguageModel,
    *,
    exempt: Exempt | None = None,
    examples: int = EXAMPLES,
    name: str | None = None,
) -> Report:
    """Hold a language model to every law of language models.

    Args:
        model: what is judged; best in float64, and with a vocabulary of some dozens.
        exempt: reasons, by the name of a law, why it may break it.
        examples: cases tried for each law.
        name: what the report calls it; its class or function, unless given.

    Raises:
        BrokenLaws: with every law that is broken.
        UserError: for an exemption from a law that there is not.
    """
    return checked(name, model, LANGUAGE_MODEL_LAWS, exempt or {}, examples)


def check_objective(
    recipe: Recipe,
    *,
    exempt: Exempt | None = None,
    examples: int = EXAMPLES,
    name: str | None = None,
) -> Report:
    """Hold an objective to every law of objectives.

    With settings that are small enough (two rollouts of two tokens), its expected gradient is
    worked out too, and must be that of its energy and cross-entropy, unless a bias is declared.

    Args:
        recipe: makes the objective for a policy, as those of
            :mod:`ebmlm.objectives.recipes` do; it is given a table of three tokens.
        exempt: reasons, by the name of a law, why it may break it.
        examples: cases tried for each law.
        name: what the report calls it; its class or function, unless given.

    Raises:
        BrokenLaws: with every law that is broken.
        UserError: where the objective finds nothing in 128 tokens, or for an exemption from a law
            that there is not.
    """
    declared = dict(exempt or {})
    objective = Trained.of(recipe).objective
    if isinstance(objective, PolicyObjective):
        reasons = filter(None, (objective.energy.bias, objective.estimator.bias))
        reason = "; ".join(reasons)
        if reason:
            declared.setdefault(expected_gradient_descends.__name__, reason)
    return checked(name, recipe, OBJECTIVE_LAWS, declared, examples)
