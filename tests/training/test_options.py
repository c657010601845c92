from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ebmlm.errors import UserError
from ebmlm.training import Precision, TrainingOptions


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps is 0"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"micro_batch_size": 0}, "micro_batch_size is 0"),
        ({"learning_rate": -1.0}, "learning_rate is -1.0"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"warmup": 1.5}, "share of the steps"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_values_out_of_range_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        TrainingOptions(**options)


def test_a_step_is_shared_and_cut_evenly() -> None:
    assert TrainingOptions(batch_size=16, micro_batch_size=2).micro_batches(1) == (2, 8)
    assert TrainingOptions(batch_size=16, micro_batch_size=2).micro_batches(4) == (2, 2)
    assert TrainingOptions(batch_size=16, micro_batch_size=None).micro_batches(2) == (8, 1)
    assert TrainingOptions(batch_size=2, micro_batch_size=8).micro_batches(2) == (1, 1)
    with pytest.raises(UserError, match="shared evenly by 3 processes"):
        TrainingOptions(batch_size=16).micro_batches(3)
    with pytest.raises(UserError, match="micro_batch_size 3 does not divide"):
        TrainingOptions(batch_size=16, micro_batch_size=3).micro_batches(1)


def test_options_become_the_trainers_arguments(tmp_path: Path) -> None:
    options = TrainingOptions(
        steps=50, warmup=0.1, gradient_checkpointing=True, extra={"lr_scheduler_type": "cosine"}
    )
    arguments = options.arguments(tmp_path)
    assert arguments.max_steps == 50
    assert arguments.warmup_steps == 5
    assert arguments.lr_scheduler_type == "cosine"
    renamed = getattr(arguments, "activation_checkpointing", None)
    assert renamed or arguments.gradient_checkpointing
    assert TrainingOptions().arguments(tmp_path).lr_scheduler_type == "constant_with_warmup"


def test_extra_arguments_must_exist_and_not_be_set_twice(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="did you mean adam_epsilon"):
        TrainingOptions(extra={"adam_epsilom": 1e-6}).arguments(tmp_path)
    with pytest.raises(UserError, match="option of its own"):
        TrainingOptions(extra={"max_steps": 3}).arguments(tmp_path)


def test_precision_says_what_it_is() -> None:
    assert Precision.bfloat16.uses_bfloat16()
    assert not Precision.float32.uses_bfloat16()
    assert Precision.auto.uses_bfloat16() in (True, False)
