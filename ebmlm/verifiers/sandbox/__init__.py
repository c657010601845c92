"""The sandbox: where code that a model wrote is run."""

from __future__ import annotations

from ebmlm.verifiers.sandbox.isolation import InForce, Isolation, Namespaces, ProcessOnly
from ebmlm.verifiers.sandbox.keeper import SandboxFailure, Talk
from ebmlm.verifiers.sandbox.limits import Limits
from ebmlm.verifiers.sandbox.sandbox import Sandbox, isolation_in_force

__all__ = [
    "InForce",
    "Isolation",
    "Limits",
    "Namespaces",
    "ProcessOnly",
    "Sandbox",
    "SandboxFailure",
    "Talk",
    "isolation_in_force",
]
