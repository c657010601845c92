from __future__ import annotations

import pytest

from ebmlm.errors import UserError
from ebmlm.integrations.trl_groups import Group
from ebmlm.integrations.trl_rollouts import GroupRollouts
from ebmlm.rollouts import Rollouts
from tests.data.tokenisers import byte_level

STARTED = byte_level(start=True, bos_token="<s>", eos_token="</s>")


def ids(text: str) -> list[int]:
    return list(STARTED(text, add_special_tokens=False)["input_ids"])


def laid(*groups: Group, horizon: int = 8, references_end: bool = True) -> Rollouts:
    return GroupRollouts(STARTED, horizon, references_end)(groups)


GROUP = Group("12", " abc", [ids("a"), ids("c.")])


def reference(rollouts: Rollouts, row: int = 0) -> list[int]:
    return list(rollouts.references[row, 0][rollouts.reference_mask[row, 0]].tolist())


def test_prompt_is_what_the_trainer_reads_and_the_reference_follows() -> None:
    rollouts = laid(GROUP)
    begun = STARTED("12")["input_ids"]
    assert begun[0] == STARTED.bos_token_id
    assert rollouts.anchors.tolist() == [[len(begun)]]
    tokens = rollouts.sequences[0][rollouts.sequence_mask[0]].tolist()
    assert tokens == [*begun, *ids(" abc"), STARTED.eos_token_id]
    assert reference(rollouts) == tokens[len(begun) :]


def test_references_may_go_on() -> None:
    assert reference(laid(GROUP, references_end=False)) == ids(" abc")


def test_references_are_cut_to_the_horizon() -> None:
    long = Group("12", " a.a.a.a.", [ids("a")])
    assert reference(laid(long, horizon=3)) == ids(" a.a.a.a.")[:3]


def test_width_does_not_depend_on_the_other_groups() -> None:
    """Features as wide as the horizon see every reference whole, however short what was drawn."""
    rollouts = laid(Group("12", " a.a.a.", [[], ids("a")]))
    assert rollouts.horizon == rollouts.references.shape[-1] == len(ids(" a.a.a.")) + 1
    assert rollouts.completion_mask.sum(-1).flatten().tolist() == [0, 1]
    two = laid(Group("12", " a.a.a.", [[], ids("a")]), Group("1", " b", [ids("abc"), ids("2")]))
    assert reference(two) == reference(rollouts)
    assert reference(two, 1) == [*ids(" b"), STARTED.eos_token_id]
    assert two.anchors.tolist() == [[2], [2]]


def test_a_prompt_without_tokens_is_refused() -> None:
    bare = byte_level(eos_token="</s>")
    with pytest.raises(UserError, match="prompt '' has no tokens"):
        GroupRollouts(bare, 8, True)([Group("", "abc", [ids("a")])])
