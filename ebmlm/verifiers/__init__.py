"""Verifiers: how well does a completion answer its prompt?"""

from __future__ import annotations

from ebmlm.verifiers.base import FunctionVerifier, Verifier
from ebmlm.verifiers.exact_match import ExactMatch
from ebmlm.verifiers.normalisers import CollapseSpace, FirstLine, IgnoreCase, Normaliser, Strip

__all__ = [
    "CollapseSpace",
    "ExactMatch",
    "FirstLine",
    "FunctionVerifier",
    "IgnoreCase",
    "Normaliser",
    "Strip",
    "Verifier",
]
