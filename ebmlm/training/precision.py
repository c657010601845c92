"""The number format that passes are computed in; weights and optimiser stay in float32."""

from __future__ import annotations

from enum import Enum

import torch

__all__ = ["Precision"]


class Precision(Enum):
    """Float32 weights always; compute in bfloat16 or float32.

    A bfloat16 weight does not move at fine-tuning's learning rates: a step is smaller than its
    rounding. ``auto`` computes in bfloat16 where the processor has instructions for it.
    """

    auto = "auto"
    bfloat16 = "bfloat16"
    float32 = "float32"

    def uses_bfloat16(self) -> bool:
        """Whether passes are computed in bfloat16 on this machine."""
        return self is Precision.bfloat16 or (self is Precision.auto and _bfloat16_is_fast())


def _bfloat16_is_fast() -> bool:
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    probes = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return any(bool(getattr(torch.cpu, probe, lambda: False)()) for probe in probes)
