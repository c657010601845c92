"""The recipes by the names that configuration files use.

``class_path: ebmlm.recipes.EBFT`` with ``init_args`` is :func:`ebmlm.objectives.recipes.ebft` with
these options: the names here are the functions, as classes that jsonargparse can take options for.
The policy and the run's texts are passed when it starts.
"""

from __future__ import annotations

from jsonargparse import class_from_function

from ebmlm.objectives import recipes

__all__ = ["EBFT", "MMD", "RLVR", "SFT", "EBFTUnbiased"]

EBFT = class_from_function(recipes.ebft, name="EBFT")
EBFTUnbiased = class_from_function(recipes.ebft_unbiased, name="EBFTUnbiased")
MMD = class_from_function(recipes.mmd, name="MMD")
RLVR = class_from_function(recipes.rlvr, name="RLVR")
SFT = class_from_function(recipes.sft, name="SFT")
