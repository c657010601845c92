"""Energies as a reward function of TRL's GRPOTrainer and RLOOTrainer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch

from ebmlm.energies.base import Energy
from ebmlm.errors import UserError
from ebmlm.integrations.corrections import Correction
from ebmlm.integrations.trl_groups import groups_of
from ebmlm.integrations.trl_rollouts import GroupRollouts
from ebmlm.rollouts import Scores

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["FeatureMatchingReward"]

# Names that mean something else to TRL, or that it keeps from reward functions.
_TAKEN = (
    "prompt",
    "prompts",
    "completion",
    "completions",
    "completion_ids",
    "environments",
    "log_extra",
    "log_metric",
    "trainer_state",
)
_SHOWN = 40


class FeatureMatchingReward:
    """A reward function for TRL: minus the energy of each completion among its siblings.

    ``r_j = -e_j`` (docs/mathematics.md, eq. 3), or what a correction makes of the terms. Of a
    feature-matching energy that is likeness to the real continuation less likeness to the other
    completions of the prompt. Means of what the energy measures are logged as ``energy/...``,
    beside ``energy/mean``. What TRL makes of the rewards is said in docs/trl.md.

    Args:
        energy: any that reads rollouts alone, such as
            :class:`~ebmlm.energies.feature_matching.FeatureMatchingEnergy`; on the device where its
            feature network is.
        tokenizer: the trainer's ``processing_class``.
        num_generations: the trainer's: completions of a prompt, N.
        max_completion_length: the trainer's: tokens of a completion at most, to which references
            are cut.
        reference: the data set's column of real continuations: texts, or messages. TRL keeps a
            column named ``completion`` from reward functions.
        references_end: whether a reference is over where its text is, so that the end-of-sequence
            token follows it; false for pieces of a longer text.
        correction: :class:`~ebmlm.integrations.corrections.ForRLOO` or
            :class:`~ebmlm.integrations.corrections.ForGRPO`, for advantages without the bias that
            these trainers' baselines have over pairs.
        device: where the energy computes.

    Raises:
        UserError: for an energy that needs a reference model, fewer completions than it or the
            correction needs, sizes below one, or a column that TRL does not hand over.
    """

    def __init__(
        self,
        energy: Energy,
        tokenizer: PreTrainedTokenizerBase,
        *,
        num_generations: int,
        max_completion_length: int,
        reference: str = "reference",
        references_end: bool = True,
        correction: Correction | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        # TRL before 1.16 logs a reward under this attribute, and has no other name for it.
        self.__name__ = type(self).__name__
        if energy.needs_reference:
            raise UserError(
                f"{type(energy).__name__} compares with a reference model's log-probabilities,"
                " which TRL gives to no reward function: leave that part out and set the trainer's"
                " beta"
            )
        least = energy.minimum_samples
        if correction is not None:
            # Pairs are left out twice.
            least = 3 if least > 1 else 2
        if num_generations < max(least, 1):
            raise UserError(
                f"num_generations is {num_generations}: this energy"
                f"{'' if correction is None else ' with a correction'} needs at least {least}"
                " completions of a prompt"
            )
        if max_completion_length < 1:
            raise UserError(
                f"max_completion_length is {max_completion_length}: it must be at least 1 token,"
                " the trainer's own"
            )
        if reference in _TAKEN:
            raise UserError(
                f"reference is {reference!r}, which TRL does not hand to reward functions as a"
                " column of the data: rename it, data.rename_column(..., 'reference')"
            )
        self.energy = energy
        self.tokenizer = tokenizer
        self.num_generations = num_generations
        self.max_completion_length = max_completion_length
        self.reference = reference
        self.correction = correction
        self.device = device
        self._rollouts = GroupRollouts(tokenizer, max_completion_length, references_end)

    @torch.no_grad()
    def __call__(
        self,
        prompts: Sequence[Any],
        completions: Sequence[Any],
        completion_ids: Sequence[Sequence[int]],
        log_metric: Callable[[str, float], None] | None = None,
        **columns: Any,
    ) -> list[float | None]:
        """Return a reward for each completion; the signature is that of TRL's reward functions.

        The type is TRL's, too: none of the rewards is None.

        Args:
            prompts: texts, or conversations; of each completion.
            completions: likewise; compared with the tokens, to be sure of the tokeniser.
            completion_ids: their tokens.
            log_metric: TRL's, takes a name and a number; a method of the trainer, whose sizes are
                then compared with those given here.
            columns: those of the data set, and whatever else TRL hands over.

        Raises:
            UserError: for sizes other than the trainer's, a missing column, completions that are no
                whole groups, another tokeniser's tokens, a completion over the length, a row
                without a reference, or a reward that is not finite.
        """
        self._check_sizes(log_metric)
        if self.reference not in columns:
            known = ", ".join(map(repr, columns)) or "none"
            raise UserError(
                f"no column {self.reference!r} among what TRL hands over ({known}): the data set"
                " needs the real continuations in it; rename the column or name it with"
                " reference=..., and leave remove_unused_columns off"
            )
        references = columns[self.reference]
        groups = groups_of(prompts, references, completion_ids, self.num_generations)
        self._check_tokeniser(completions, completion_ids)
        rollouts = self._rollouts(groups).to(self.device)
        # Nobody may read these: TRL gives a reward function no log-probabilities.
        unknown = torch.full(rollouts.completions.shape, torch.nan, device=self.device)
        terms = self.energy(rollouts, Scores(unknown))
        energies = terms.per_sample()
        rewards = -energies if self.correction is None else self.correction(terms)
        if not rewards.isfinite().all():
            raise UserError(
                f"{type(self.energy).__name__} gave a reward that is not finite: an energy in TRL"
                " may read rollouts alone, and no log-probabilities"
            )
        if log_metric is not None:
            for name, values in {"mean": energies, **terms.metrics}.items():
                log_metric(f"energy/{name}", float(values.mean()))
        return list(rewards.flatten().tolist())

    def _check_sizes(self, log_metric: object) -> None:
        """Refuse other sizes than the trainer's, which TRL tells to nobody.

        Groups of another size may look right: halves of a group have one prompt, too.
        """
        trainer = getattr(log_metric, "__self__", None)
        for name, ours in (
            ("num_generations", self.num_generations),
            ("num_generations_eval", self.num_generations),
            ("max_completion_length", self.max_completion_length),
        ):
            theirs = getattr(trainer, name, ours)
            if theirs != ours:
                raise UserError(
                    f"the trainer's {name} is {theirs} and the reward was told {ours}: both must"
                    " be the same, in evaluations too"
                )

    def _check_tokeniser(
        self, completions: Sequence[Any], completion_ids: Sequence[Sequence[int]]
    ) -> None:
        """Refuse tokens that do not read as the text that the trainer made of them."""
        written = [list(ids) for ids in completion_ids]
        read = self.tokenizer.batch_decode(written, skip_special_tokens=True)
        for number, (ours, theirs) in enumerate(zip(read, completions, strict=True)):
            text = theirs if isinstance(theirs, str) else self._content(theirs)
            if text is not None and text != ours:
                raise UserError(
                    f"completion {number} is {text[:_SHOWN]!r} to the trainer and"
                    f" {ours[:_SHOWN]!r} to the reward's tokenizer: give FeatureMatchingReward the"
                    " trainer's own processing_class"
                )

    def _content(self, messages: Sequence[Any]) -> str | None:
        """The text of an answer that is one message; None where it has been parsed into parts."""
        parsed = (
            getattr(self.tokenizer, name, None) for name in ("response_template", "response_schema")
        )
        if len(messages) != 1 or any(each is not None for each in parsed):
            return None
        content = messages[0].get("content")
        return content if isinstance(content, str) else None
