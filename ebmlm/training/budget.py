"""Runs that end after so many seconds or tokens of training, whatever the number of steps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ebmlm.errors import UserError
from ebmlm.training.clock import TrainingClock

__all__ = ["Budget", "SecondsBudget", "TokensBudget"]


class Budget(TrainerCallback, ABC):
    """Answers one question: what share of a run's budget is spent?

    Training ends where all of it is, with evaluations at equal shares on the way. The step that is
    under way is finished, so that a run trains a little longer. A state to resume from is kept with
    every evaluation.

    Args:
        evaluations: how many there are on the way; the one at the end is not counted.

    Raises:
        UserError: for a negative number of evaluations.
    """

    def __init__(self, evaluations: int = 0) -> None:
        if evaluations < 0:
            raise UserError(f"evaluations is {evaluations}: it must be at least 0")
        self._intervals = evaluations + 1
        self._reached = 0

    @abstractmethod
    def share(self, state: TrainerState) -> float:
        """Return the share that is spent, 1 or more where all of it is."""

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Go on from the interval that an interrupted run had reached."""
        self._reached = self._interval(state)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Evaluate where an interval is over, and stop where all of them are."""
        reached = self._interval(state)
        if reached >= self._intervals:
            control.should_training_stop = True
        elif reached > self._reached:
            control.should_evaluate = True
            control.should_save = True
        self._reached = reached

    def _interval(self, state: TrainerState) -> int:
        return int(self.share(state) * self._intervals)


class SecondsBudget(Budget):
    """So many seconds of training; evaluations do not count.

    Args:
        seconds: of training.
        clock: says how long the run has trained.
        evaluations: see :class:`Budget`.

    Raises:
        UserError: for a time that is not above 0 and finite.
    """

    def __init__(self, seconds: float, clock: TrainingClock, evaluations: int = 0) -> None:
        super().__init__(evaluations)
        if not 0 < seconds < float("inf"):
            raise UserError(f"seconds is {seconds}: it must be a finite time above 0")
        self._seconds = seconds
        self._clock = clock

    def share(self, state: TrainerState) -> float:
        """See :meth:`Budget.share`."""
        return self._clock.seconds / self._seconds


class TokensBudget(Budget):
    """So many tokens of real text trained on, over all processes; rollouts do not count.

    Args:
        tokens: of training text, prompts and completions, each time that it is trained on.
        evaluations: see :class:`Budget`.

    Raises:
        UserError: for fewer than one token.
    """

    def __init__(self, tokens: int, evaluations: int = 0) -> None:
        super().__init__(evaluations)
        if tokens < 1:
            raise UserError(f"tokens is {tokens}: it must be at least 1")
        self._tokens = tokens

    def share(self, state: TrainerState) -> float:
        """See :meth:`Budget.share`."""
        return state.num_input_tokens_seen / self._tokens
