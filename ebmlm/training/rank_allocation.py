"""Adapters that share out their ranks while they train, as AdaLoRA does."""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

__all__ = ["RankAllocation", "allocates_ranks"]


def allocates_ranks(model: Any) -> bool:
    """Whether the adapters of ``model`` are told of every step, and keep averages of their own."""
    return hasattr(getattr(model, "base_model", None), "update_and_allocate")


class RankAllocation(TrainerCallback):
    """Tells the adapters of every step, between the optimiser and the end of its gradients."""

    def on_optimizer_step(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: Any = None,
        **kwargs: Any,
    ) -> None:
        """Have ranks shared out anew."""
        inner = getattr(model, "module", model)
        inner.base_model.update_and_allocate(state.global_step)
