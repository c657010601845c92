"""A comparison: arm after arm in one folder, each kept once it is done."""

from __future__ import annotations

import gc
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ebmlm.comparison.arms import Arm, check_alike
from ebmlm.comparison.outcome import ArmOutcome
from ebmlm.description import described
from ebmlm.errors import UserError
from ebmlm.training.diverged import TrainingDiverged
from ebmlm.training.pipeline import Limit
from ebmlm.training.preflight import check_output
from ebmlm.training.run_folder import RunFolder

__all__ = ["Comparison"]

_PLAN = "comparison.json"


class Comparison:
    """Trains arms one after the other on the same budget, and reads what each found.

    An arm whose folder holds a finished run is not run again, and one that was interrupted goes on
    from its last state; so a comparison is resumed by giving the same command once more. All arms
    start from one model, so that it is measured once.

    Args:
        arms: at least two.
        output: the folder, with a run folder for each arm.
        limit: what ends each arm.
        plan: what the budget is, in words that can be written as JSON; another one in the same
            folder is refused.

    Raises:
        UserError: for arms that do not compare, or a folder that holds another comparison.
    """

    def __init__(
        self, arms: Sequence[Arm], output: str, limit: Limit, plan: dict[str, Any]
    ) -> None:
        check_alike(arms)
        self.arms = tuple(arms)
        self.output = Path(output)
        self._limit = limit
        arms_as_given = {arm.name: described(vars(arm.pipeline)) for arm in arms}
        self._plan = {**plan, "arms": arms_as_given}

    def run(self, console: Any) -> tuple[list[ArmOutcome], dict[str, str]]:
        """Run what is not done yet, telling ``console`` (rich).

        Returns:
            The arms that came to their end, in their order; and by name, why others did not.

        Raises:
            UserError: for bad input, before training starts.
        """
        self._claim()
        outcomes, failed = [], {}
        for arm in self.arms:
            folder = RunFolder(self.output / arm.name)
            outcome = ArmOutcome.read(arm.name, folder)
            if outcome is not None:
                console.print(f"{arm.name}: done before, kept", highlight=False)
            else:
                console.print(f"\n{arm.name}", style="bold", highlight=False)
                try:
                    self._train(arm, folder, console)
                except TrainingDiverged as error:
                    failed[arm.name] = str(error)
                    console.print(f"{arm.name}: {error}", highlight=False)
                outcome = ArmOutcome.read(arm.name, folder)
                gc.collect()
            if outcome is not None:
                outcomes.append(outcome)
        return outcomes, failed

    def _train(self, arm: Arm, folder: RunFolder, console: Any) -> None:
        folder.path.mkdir(parents=True, exist_ok=True)
        for other in self.arms:
            start = RunFolder(self.output / other.name).before
            if start.exists() and not folder.before.exists():
                shutil.copyfile(start, folder.before)
        if folder.last_checkpoint() is None:
            folder.metrics.unlink(missing_ok=True)
        arm.unlimited(str(folder.path), resume=True).run(console, self._limit)

    def _claim(self) -> None:
        check_output(self.output, resume=True)
        plan = self.output / _PLAN
        if plan.exists():
            known = json.loads(plan.read_text(encoding="utf-8"))
            mine = json.loads(json.dumps(self._plan))
            for name in sorted({*known, *mine}):
                if known.get(name) != mine.get(name):
                    raise UserError(
                        f"{self.output} holds another comparison ({name} differs); name another"
                        " folder, or give the same configurations and budget to go on with it"
                    )
        elif any(self.output.iterdir()):
            raise UserError(
                f"output {self.output} is not empty and holds no comparison: name another folder"
            )
        else:
            partial = plan.with_suffix(".partial")
            partial.write_text(json.dumps(self._plan, indent=2) + "\n", encoding="utf-8")
            partial.replace(plan)
