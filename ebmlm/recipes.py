"""The recipes by the names that configuration files use.

``class_path: ebmlm.recipes.EBFT`` with ``init_args`` is :func:`ebmlm.objectives.recipes.ebft` with
these options: the names here are the functions of :mod:`ebmlm.objectives.recipes` and of its
siblings for anchors, features, energies, representations, targets, balance and contrastive
training, as classes that jsonargparse can take options for. The policy and the run's texts are
passed when a run starts.
"""

from __future__ import annotations

from jsonargparse import class_from_function

from ebmlm.objectives import (
    anchor_recipes,
    balance_recipes,
    contrastive_recipes,
    energy_recipes,
    feature_recipes,
    recipes,
    representation_recipes,
    target_recipes,
)

__all__ = [
    "DPG",
    "EBFT",
    "MMD",
    "NCE",
    "RLVR",
    "SFT",
    "CharacterNGrams",
    "Concatenation",
    "Constraint",
    "ContrastiveDivergence",
    "EBFTUnbiased",
    "Encoder",
    "Expert",
    "FixedRepresentation",
    "FourierFeatures",
    "HiddenStates",
    "Linear",
    "LogVarianceTuning",
    "NGrams",
    "NormalisedFeatures",
    "Product",
    "ProjectedFeatures",
    "Residual",
    "SurprisingAnchors",
    "TrainedRepresentation",
    "Verified",
    "VerifierScores",
]

DPG = class_from_function(target_recipes.dpg, name="DPG")
EBFT = class_from_function(recipes.ebft, name="EBFT")
EBFTUnbiased = class_from_function(recipes.ebft_unbiased, name="EBFTUnbiased")
LogVarianceTuning = class_from_function(balance_recipes.log_variance, name="LogVarianceTuning")
MMD = class_from_function(recipes.mmd, name="MMD")
RLVR = class_from_function(recipes.rlvr, name="RLVR")
SFT = class_from_function(recipes.sft, name="SFT")

NCE = class_from_function(contrastive_recipes.nce, name="NCE")
ContrastiveDivergence = class_from_function(
    contrastive_recipes.contrastive_divergence, name="ContrastiveDivergence"
)
Residual = class_from_function(energy_recipes.residual, name="Residual")
FixedRepresentation = class_from_function(representation_recipes.fixed, name="FixedRepresentation")
TrainedRepresentation = class_from_function(
    representation_recipes.trained_states, name="TrainedRepresentation"
)

HiddenStates = class_from_function(feature_recipes.hidden_states, name="HiddenStates")
Encoder = class_from_function(feature_recipes.encoder, name="Encoder")
NGrams = class_from_function(feature_recipes.ngrams, name="NGrams")
CharacterNGrams = class_from_function(feature_recipes.character_ngrams, name="CharacterNGrams")
Concatenation = class_from_function(feature_recipes.concatenation, name="Concatenation")
NormalisedFeatures = class_from_function(feature_recipes.normalised, name="NormalisedFeatures")
ProjectedFeatures = class_from_function(feature_recipes.projection, name="ProjectedFeatures")
FourierFeatures = class_from_function(feature_recipes.fourier, name="FourierFeatures")
VerifierScores = class_from_function(feature_recipes.verifier_scores, name="VerifierScores")

Constraint = class_from_function(energy_recipes.constraint, name="Constraint")
Expert = class_from_function(energy_recipes.expert, name="Expert")
Linear = class_from_function(energy_recipes.linear, name="Linear")
Product = class_from_function(energy_recipes.product, name="Product")
Verified = class_from_function(energy_recipes.verified, name="Verified")
SurprisingAnchors = class_from_function(anchor_recipes.surprising_anchors, name="SurprisingAnchors")
