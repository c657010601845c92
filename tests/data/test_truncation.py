from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebmlm.data import DropLong, KeepPromptEnd, PairTokens
from ebmlm.errors import UserError


def pair(start: int, prompt: int, completion: int) -> PairTokens:
    """Tokens that tell where they are from: 1000s start, 2000s prompt, 3000s completion."""
    return PairTokens(
        start=[1000 + number for number in range(start)],
        prompt=[2000 + number for number in range(prompt)],
        completion=[3000 + number for number in range(completion)],
        prompt_text="p",
        completion_text="c",
    )


@pytest.mark.parametrize(
    ("share", "prompt", "completion", "kept"),
    [
        # The prompt gives way first, down to its share of the row of 10.
        (0.5, 12, 4, (5, 4)),
        (0.5, 12, 9, (5, 4)),
        (0.5, 3, 20, (3, 6)),
        (0.0, 12, 9, (0, 9)),
        (0.0, 12, 30, (0, 9)),
        (0.9, 12, 30, (8, 1)),
    ],
)
def test_prompt_then_completion(
    share: float, prompt: int, completion: int, kept: tuple[int, int]
) -> None:
    cut = KeepPromptEnd(share)(pair(1, prompt, completion), 10)
    assert cut is not None
    assert cut.start == [1000]
    # The end of the prompt and the beginning of the completion stay.
    assert cut.prompt == [2000 + n for n in range(prompt)][prompt - kept[0] :]
    assert cut.completion == [3000 + n for n in range(kept[1])]


@given(
    st.integers(0, 3),
    st.integers(0, 20),
    st.integers(1, 20),
    st.integers(2, 24),
    st.floats(0, 1, exclude_max=True),
)
def test_what_is_kept(start: int, prompt: int, completion: int, length: int, share: float) -> None:
    whole = pair(start, prompt, completion)
    cut = KeepPromptEnd(share)(whole, length)
    assert cut is not None
    if len(whole) <= length:
        assert cut is whole
        assert DropLong()(whole, length) is whole
        return
    assert DropLong()(whole, length) is None
    assert len(cut) == length
    assert len(cut.completion) >= 1
    assert cut.prompt == whole.prompt[prompt - len(cut.prompt) :]
    assert cut.completion == whole.completion[: len(cut.completion)]
    if len(cut.completion) < completion:
        room = length - len(cut.start)
        assert len(cut.prompt) == min(prompt, int(share * length), room - 1)
    assert (cut.prompt_text, cut.completion_text) == ("p", "c")


@pytest.mark.parametrize("share", [-0.1, 1.0, float("nan")])
def test_share_out_of_range_is_refused(share: float) -> None:
    with pytest.raises(UserError, match=f"share is {share}; .* at least 0 and below 1"):
        KeepPromptEnd(share)
