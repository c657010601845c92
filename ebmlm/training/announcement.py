"""What a run says before it starts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import nn

from ebmlm.data.base import PreparedData
from ebmlm.training.start import trainable_parameters, weights_in_words

if TYPE_CHECKING:
    from ebmlm.training.pipeline import Pipeline
    from ebmlm.transformers_model import TransformersLanguageModel

__all__ = ["announce"]


def announce(
    console: Any,
    pipeline: Pipeline,
    policy: TransformersLanguageModel,
    trained: nn.Module,
    text: PreparedData,
    empty: int,
) -> None:
    """Tell what a run trains, on what.

    Args:
        console: where it is told (rich).
        pipeline: the run.
        policy: the model it starts from.
        trained: what is trained: the policy's model, or what the objective trains beside it.
        text: the rows.
        empty: training rows that have no valid anchor.
    """
    bfloat16 = pipeline.training.precision.uses_bfloat16()
    console.print(
        f"model {pipeline.model}: {weights_in_words(policy.model)},"
        f" computed in {'bfloat16' if bfloat16 else 'float32'} on {policy.device}\n"
        + (
            ""
            if trained is policy.model
            else f"it stays as it is: {trainable_parameters(trained) / 1e6:.2f}M parameters"
            " beside it train\n"
        )
        + f"text: {len(text.train)} training and {len(text.validation)} held-out sequences of"
        f" {pipeline.data.length} tokens, from"
        f" {text.summary['documents']['train']} and"
        f" {text.summary['documents']['validation']} documents"
        + (f"; {empty} training sequences have no valid anchor" if empty else "")
        + "".join(f"; skipped {n} ({why})" for why, n in text.summary["skipped"].items()),
        highlight=False,
    )
