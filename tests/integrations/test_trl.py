"""The reward in real, tiny runs of TRL's trainers, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer

from ebmlm import (
    RLOO,
    Categorical,
    EnergyTerms,
    FunctionEnergy,
    KLEnergy,
    Rollouts,
    Scores,
    UserError,
)
from ebmlm.energies.base import Energy
from ebmlm.estimators import leave_one_out_baseline, mean_token_log_prob, sequence_log_prob
from ebmlm.integrations import FeatureMatchingReward, ForGRPO, ForRLOO
from ebmlm.integrations.trl_groups import groups_of
from ebmlm.integrations.trl_rollouts import GroupRollouts
from ebmlm.transformers_model import TransformersLanguageModel
from tests.data.tokenisers import CHATML, byte_level, words
from tests.helpers import gradients, largest_difference
from tests.integrations.trl_runs import (
    END,
    HORIZON,
    SAMPLES,
    TEMPERATURE,
    TOKENISER,
    Record,
    energy_of,
    ids,
    naive_terms,
    run,
    tiny_llama,
)


def reward_of(energy: Energy | None = None, **options: Any) -> FeatureMatchingReward:
    settings = {"num_generations": SAMPLES, "max_completion_length": HORIZON}
    return FeatureMatchingReward(
        energy_of(tiny_llama()) if energy is None else energy, TOKENISER, **(settings | options)
    )


def ours(terms: EnergyTerms) -> torch.Tensor:
    return (leave_one_out_baseline(terms) - terms.per_sample()).flatten()


def rollouts_of(record: Record, step: int) -> Rollouts:
    rows = record.inputs[step]
    flat = [each for group in record.completions(step) for each in group]
    columns = [[row[name] for row in rows] for name in ("prompt", "reference")]
    groups = groups_of(columns[0], columns[1], flat, SAMPLES)
    drawn = GroupRollouts(TOKENISER, HORIZON, True)(groups)
    return Rollouts(**{**vars(drawn), "distribution": Categorical(TEMPERATURE)})


# Trainer, its configuration, what corrects it, further options, and what its loss is to ours.
EXACT = {
    "RLOO": (RLOOTrainer, RLOOConfig, ForRLOO(), {}, sequence_log_prob, 1.0),
    "GRPO": (
        GRPOTrainer,
        GRPOConfig,
        ForGRPO(),
        {"scale_rewards": "none", "loss_type": "grpo"},
        mean_token_log_prob,
        1.0,
    ),
    "Dr. GRPO": (
        GRPOTrainer,
        GRPOConfig,
        ForGRPO(),
        {"scale_rewards": "none", "loss_type": "dr_grpo"},
        sequence_log_prob,
        1 / HORIZON,
    ),
}


@pytest.mark.parametrize("case", EXACT.values(), ids=EXACT)
def test_corrected_runs_have_our_advantages_and_our_gradient(case: Any, tmp_path: Path) -> None:
    trainer, config, correction, options, credit, scale = case
    start = tiny_llama()
    reward = reward_of(energy_of(start, diversity=0.7), correction=correction)
    record = run(trainer, config, reward, tmp_path, **options)
    assert len(record.outputs) == 2
    lengths = {len(each) for step in (0, 1) for group in record.completions(step) for each in group}
    assert len(lengths) > 1, "some completions should end early"
    for step in (0, 1):
        terms = record.terms(step, start, 0.7)
        found = record.outputs[step]["advantages"]
        torch.testing.assert_close(found, ours(terms), atol=1e-5, rtol=0)

    drawn = rollouts_of(record, 0)
    policy = TransformersLanguageModel(tiny_llama())
    terms = record.terms(0, start, 0.7)
    exact = gradients(
        policy.model,
        lambda: RLOO(credit)(policy.score(drawn).completions, terms, drawn).loss * scale,
    )
    size = max(float(each.abs().max()) for each in exact.values())
    assert largest_difference(record.gradients[0], exact) < 1e-4 * size


@pytest.mark.parametrize(
    ("trainer", "config"), [(RLOOTrainer, RLOOConfig), (GRPOTrainer, GRPOConfig)]
)
def test_uncorrected_rewards_are_minus_our_energies(
    trainer: Any, config: Any, tmp_path: Path
) -> None:
    start = tiny_llama()
    record = run(trainer, config, reward_of(energy_of(start)), tmp_path)
    for step in (0, 1):
        terms = record.terms(step, start)
        energies = terms.per_sample().flatten()
        torch.testing.assert_close(record.rewards[step][:, 0], -energies, atol=1e-5, rtol=0)
        found = record.outputs[step]["advantages"]
        assert float((found - ours(terms)).abs().max()) > 1e-2
        grouped = -terms.per_sample()
        away = grouped - grouped.mean(-1, keepdim=True)
        if trainer is GRPOTrainer:
            # The default divides by the deviation, as our GroupNorm does.
            expected = away / (grouped.std(-1, keepdim=True) + 1e-4)
        else:
            expected = away * SAMPLES / (SAMPLES - 1)
        torch.testing.assert_close(found, expected.flatten(), atol=1e-4, rtol=0)
        logged = record.logged[step]
        assert logged["energy/mean"] == pytest.approx(float(energies.mean()), abs=1e-5)
        assert {"energy/alignment", "energy/diversity"} <= logged.keys()


def call(reward: FeatureMatchingReward, **changes: Any) -> list[float | None]:
    """Call as TRL does, two prompts with four completions each."""
    prompts = ["a b"] * 4 + ["c"] * 4
    written = ["a", "b c", "d e f", "a", "g", "h h", "a b", "c"]
    given: dict[str, Any] = {
        "prompts": prompts,
        "completions": written,
        "completion_ids": [ids(text) for text in written],
        "reference": [" c d"] * 4 + [" d e f g h"] * 4,
        "trainer_state": object(),
        "log_extra": print,
    }
    return reward(**{name: value for name, value in (given | changes).items() if value is not None})


def test_each_group_is_judged_by_itself() -> None:
    model = tiny_llama()
    reward = reward_of(energy_of(model))
    together = call(reward)
    written = [ids(text) for text in ("g", "h h", "a b", "c")]
    terms = naive_terms(model, ids("c"), ids("d e f g h"), written)
    assert together[4:] == pytest.approx((-terms.per_sample()).flatten().tolist(), abs=1e-5)
    alone = reward(
        prompts=["c"] * 4,
        completions=["g", "h h", "a b", "c"],
        completion_ids=written,
        reference=[" d e f g h"] * 4,
    )
    assert together[4:] == pytest.approx(alone, abs=1e-5)


def test_any_energy_of_rollouts_will_do() -> None:
    energy = FunctionEnergy(lambda rollouts: rollouts.token_mask().sum(-1).double())
    assert call(reward_of(energy, correction=ForRLOO())) == [-1, -2, -3, -1, -1, -2, -2, -1]


def test_another_column() -> None:
    column = [" c d"] * 4 + [" d e f g h"] * 4
    renamed = call(reward_of(reference="real"), reference=None, real=column)
    assert renamed == call(reward_of())


CONVERSATION = byte_level(eos_token="<|stop|>", pad_token="<unk>", chat_template=CHATML)


@pytest.mark.parametrize("form", ["text", "messages"])
def test_conversations(form: str) -> None:
    seen: list[Rollouts] = []

    def look(rollouts: Rollouts) -> torch.Tensor:
        seen.append(rollouts)
        return torch.zeros(rollouts.completions.shape[:3])

    reward = FeatureMatchingReward(
        FunctionEnergy(look), CONVERSATION, num_generations=2, max_completion_length=8
    )
    answer = [{"role": "assistant", "content": "ab"}]
    written = [CONVERSATION("abc<|stop|>")["input_ids"], CONVERSATION("c")["input_ids"]]
    prompt = [{"role": "user", "content": "a"}]
    reward(
        prompts=[prompt, prompt],
        completions=[[{"role": "assistant", "content": text}] for text in ("abc", "c")],
        completion_ids=written,
        reference=["ab", "ab"] if form == "text" else [answer, answer],
    )
    (rollouts,) = seen
    template: Any = CONVERSATION.apply_chat_template
    rendered = template([prompt], add_generation_prompt=True, tokenize=True, return_dict=True)
    (asked,) = rendered["input_ids"]
    tokens = rollouts.sequences[0][rollouts.sequence_mask[0]].tolist()
    assert int(rollouts.anchors) == len(asked)
    assert tokens[: len(asked)] == asked
    assert CONVERSATION.decode(tokens[len(asked) :]) == "ab<|stop|>"
    assert rollouts.completion_mask[0, 0].sum(-1).tolist() == [len(each) for each in written]


class Reads(Energy):
    """Reads log-probabilities, which TRL does not give."""

    def __call__(self, rollouts: Rollouts, scores: Scores) -> EnergyTerms:
        return EnergyTerms(scores.policy.sum(-1))


BAD_SETTINGS: dict[str, tuple[dict[str, Any], str]] = {
    "reference model": ({"energy": KLEnergy()}, "set the trainer's beta"),
    "pairs of one": ({"num_generations": 1}, "needs at least 2"),
    "corrected pairs of two": (
        {"num_generations": 2, "correction": ForRLOO()},
        "with a correction needs at least 3",
    ),
    "no length": ({"max_completion_length": 0}, "max_completion_length is 0"),
    "kept column": ({"reference": "completion"}, "rename it"),
}


@pytest.mark.parametrize("case", BAD_SETTINGS.values(), ids=BAD_SETTINGS)
def test_refused_before_any_work(case: Any) -> None:
    options, message = case
    with pytest.raises(UserError, match=message):
        reward_of(**options)


BAD_CALLS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "no column": ({}, {"reference": None, "answer": [""] * 8}, r"'reference' among .*'answer'"),
    "groups too large": ({"num_generations": 8}, {}, "have two prompts, 'a b' and 'c'"),
    "groups cut": ({"num_generations": 3}, {}, "8 completions and num_generations 3"),
    "another tokeniser": (
        {},
        {"completions": ["x"] * 8},
        "is 'x' to the trainer and 'a' to the reward's tokenizer",
    ),
    "two references": ({}, {"reference": [" c", " d"] * 4}, "have two references"),
    "no reference": ({}, {"reference": [None] * 8}, "needs a real continuation"),
    "longer than told": ({"max_completion_length": 2}, {}, "a completion of 3 tokens"),
    "log-probabilities": ({"energy": Reads()}, {}, "may read rollouts alone"),
}


@pytest.mark.parametrize("case", BAD_CALLS.values(), ids=BAD_CALLS)
def test_refused_when_called(case: Any) -> None:
    options, changes, message = case
    reward = reward_of(**options)
    with pytest.raises(UserError, match=message):
        call(reward, **changes)


def test_errors_reach_the_user_through_the_trainer(tmp_path: Path) -> None:
    other = words(known=tuple("hgfedcba"), eos_token="</s>", pad_token="<unk>")
    reward = FeatureMatchingReward(
        energy_of(tiny_llama()), other, num_generations=SAMPLES, max_completion_length=HORIZON
    )
    with pytest.raises(UserError, match="trainer's own processing_class"):
        run(RLOOTrainer, RLOOConfig, reward, tmp_path)


OTHER_SIZES: dict[str, tuple[dict[str, int], dict[str, int], str]] = {
    "too small": ({"num_generations": 2}, {}, "num_generations is 4 and the reward was told 2"),
    "too large": ({"num_generations": 8}, {}, "num_generations is 4 and the reward was told 8"),
    "in evaluations": ({}, {"num_generations_eval": 2}, "num_generations_eval is 2 and"),
    "length": ({"max_completion_length": 9}, {}, "max_completion_length is 5 and"),
}


@pytest.mark.parametrize("case", OTHER_SIZES.values(), ids=OTHER_SIZES)
def test_other_sizes_than_the_trainers_are_refused(case: Any, tmp_path: Path) -> None:
    ours, theirs, message = case
    with pytest.raises(UserError, match=message):
        run(RLOOTrainer, RLOOConfig, reward_of(**ours), tmp_path, **theirs)


def test_equal_rows_may_follow_each_other() -> None:
    assert len(call(reward_of(), prompts=["a b"] * 8, reference=[" c d"] * 8)) == 8


def test_end_of_sequence_counts_and_nothing_after_it() -> None:
    written = [[*ids("a"), END, *ids("b c")], ids("b")]
    (group,) = groups_of(["a"] * 2, [" b"] * 2, written, 2)
    rollouts = GroupRollouts(TOKENISER, HORIZON, True)([group])
    assert rollouts.completion_mask[0, 0].sum(-1).tolist() == [2, 1]
    assert rollouts.completions[0, 0, 0, :2].tolist() == [*ids("a"), END]
