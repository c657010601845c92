"""Speed as ratios: each fast path beside its naive twin, in one run."""

from __future__ import annotations

from ebmlm.benchmark.twins import twin_features, twin_log_probs, twin_rollouts

__all__ = ["twin_features", "twin_log_probs", "twin_rollouts"]
