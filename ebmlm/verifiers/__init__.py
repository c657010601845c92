"""Verifiers: how well does a completion answer its prompt?"""

from __future__ import annotations

from ebmlm.verifiers.assertion_check import AssertionCheck
from ebmlm.verifiers.base import FunctionVerifier, Verifier
from ebmlm.verifiers.checks import Check
from ebmlm.verifiers.doctest_check import DoctestCheck
from ebmlm.verifiers.exact_match import (
    ExactMatch,
    case_folded,
    first_line,
    single_spaces,
    stripped,
)
from ebmlm.verifiers.own_block import own_block
from ebmlm.verifiers.parses import ParsesAsPython
from ebmlm.verifiers.regular_expression import RegularExpression
from ebmlm.verifiers.sandbox import InForce, Limits, Namespaces, ProcessOnly, isolation_in_force
from ebmlm.verifiers.text_metrics import Bleu, ChrF
from ebmlm.verifiers.unit_tests import UnitTests

__all__ = [
    "AssertionCheck",
    "Bleu",
    "Check",
    "ChrF",
    "DoctestCheck",
    "ExactMatch",
    "FunctionVerifier",
    "InForce",
    "Limits",
    "Namespaces",
    "ParsesAsPython",
    "ProcessOnly",
    "RegularExpression",
    "UnitTests",
    "Verifier",
    "case_folded",
    "first_line",
    "isolation_in_force",
    "own_block",
    "single_spaces",
    "stripped",
]
