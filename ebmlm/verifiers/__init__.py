"""Verifiers: how well does a completion answer its prompt?"""

from __future__ import annotations

from ebmlm.verifiers.base import FunctionVerifier, Verifier

__all__ = ["FunctionVerifier", "Verifier"]
