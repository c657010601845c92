"""Tasks: real prompts and completions from packages that install from the registries."""

from __future__ import annotations

from ebmlm.data.tasks.catalogue_translation import CatalogueTranslation
from ebmlm.data.tasks.doctest_answers import DoctestAnswers
from ebmlm.data.tasks.functions_with_doctests import FunctionsWithDoctests
from ebmlm.data.tasks.help_translation import HelpTranslation
from ebmlm.data.tasks.human_eval import HumanEval
from ebmlm.data.tasks.language import Language
from ebmlm.data.tasks.missing import LastLines, LastShare, Missing, WholeBody

__all__ = [
    "CatalogueTranslation",
    "DoctestAnswers",
    "FunctionsWithDoctests",
    "HelpTranslation",
    "HumanEval",
    "Language",
    "LastLines",
    "LastShare",
    "Missing",
    "WholeBody",
]
