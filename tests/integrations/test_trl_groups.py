from __future__ import annotations

import pytest

from ebmlm.errors import UserError
from ebmlm.integrations.trl_groups import Group, groups_of

IDS = [[n] for n in range(4)]


def test_groups_are_consecutive() -> None:
    assert groups_of(["p", "p", "q", "q"], ["r", "r", "s", "s"], IDS, 2) == [
        Group("p", "r", [[0], [1]]),
        Group("q", "s", [[2], [3]]),
    ]


def test_no_completions_are_refused() -> None:
    with pytest.raises(UserError, match="0 completions"):
        groups_of([], [], [], 2)


def test_the_same_prompt_with_two_references_is_two_groups() -> None:
    assert len(groups_of(["p"] * 4, ["r", "r", "s", "s"], IDS, 2)) == 2
    with pytest.raises(UserError, match="two references, 'r' and 's'"):
        groups_of(["p"] * 4, ["r", "s", "r", "s"], IDS, 2)
