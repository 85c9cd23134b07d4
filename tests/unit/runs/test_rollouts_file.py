"""Rollouts on file: text that a person can read, and that joins to tasks by key."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from tina_azr.rollout.types import Completion, StopCause
from tina_azr.runs.folder import RunFolder
from tina_azr.runs.rollouts_file import cut_rollouts, rollouts_of, write_rollouts
from tina_azr.selfplay.types import Episode, ProposalRecord, Rollout, RolloutGroup
from tina_azr.tasks.types import Proposal, RejectReason, Role, Task, Verdict

KEY = "ab" * 32


class Letters:
    """A tokenizer of one letter a token."""

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(map(chr, ids))


def _completion(text: str, think_tokens: int) -> Completion:
    ids = np.array([ord(c) for c in text], dtype=np.int64)
    return Completion(
        ids_T=ids,
        logprobs_T=np.zeros(len(ids), dtype=np.float32),
        forced_T=np.zeros(len(ids), dtype=np.bool_),
        stop_cause=StopCause.STOP_ID,
        think_tokens=think_tokens,
        forced_close=False,
    )


def _rollout(mode: str, group: str, text: str, think_tokens: int, answer: str | None, **fields: Any) -> Rollout:
    return Rollout(
        role=Role.SOLVER if "verdict" in fields else Role.PROPOSER,
        mode=mode,
        group=group,
        prompt_ids=tuple(map(ord, "prompt")),
        completion=_completion(text, think_tokens),
        answer=answer,
        **fields,
    )


def _episode(step: int) -> Episode:
    task = Task(key=KEY, mode="deduction", program="def f(x):\n    return x + 1", input="1", output="2")
    good = ProposalRecord(
        rollout=_rollout("deduction", "3/0", "idea/program", 4, "program", reward=0.5),
        references=(),
        proposal=Proposal(mode="deduction", program=task.program, inputs=("1",)),
        task=task,
        pass_rate=0.5,
    )
    bad = ProposalRecord(
        rollout=_rollout("abduction", "3/1", "hm", 2, None, reward=-1.0),
        references=(),
        proposal=None,
        reject=RejectReason.NO_ANSWER,
        detail="the thought never closed",
    )
    rollouts = (
        _rollout("deduction", KEY, "1+1=2/2", 5, "2", verdict=Verdict.CORRECT, reward=1.0),
        _rollout("deduction", KEY, "é/3", 1, "3", index=1, verdict=Verdict.WRONG, reward=-0.5),
    )
    return Episode(
        step=step,
        proposals=(good, bad),
        groups=(RolloutGroup(task=task, rollouts=rollouts),),
        rollouts=(good.rollout, bad.rollout, *rollouts),
    )


def test_every_proposal_and_attempt_is_there_as_text(run: RunFolder) -> None:
    write_rollouts(run, _episode(3), Letters())
    lines = [json.loads(line) for line in (run.rollouts / "step-3.jsonl").read_text().splitlines()]
    good, bad, task = lines
    assert (good["kind"], good["became"], good["thought"], good["answer"]) == ("proposal", "task", "idea", "program")
    assert (bad["became"], bad["detail"], bad["answer"], bad["key"]) == ("no_answer", "the thought never closed", None, None)
    assert (task["kind"], task["prompt"], task["pass_rate"]) == ("task", "prompt", 0.5)
    assert [(a["thought"], a["answer"], a["verdict"], a["reward"]) for a in task["attempts"]] == [
        ("1+1=2", "2", "correct", 1.0),
        ("é", "3", "wrong", -0.5),
    ]


def test_a_tasks_rollouts_are_found_by_its_key_in_the_order_of_steps(run: RunFolder) -> None:
    for step in (2, 10):
        write_rollouts(run, _episode(step), Letters())
    assert [(line["kind"], line["step"]) for line in rollouts_of(run, KEY)] == [
        ("proposal", 2),
        ("task", 2),
        ("proposal", 10),
        ("task", 10),
    ]
    assert list(rollouts_of(run, "cd" * 32)) == []


def test_cutting_drops_later_steps_alone(run: RunFolder) -> None:
    for step in (2, 9, 10):
        write_rollouts(run, _episode(step), Letters())
    cut_rollouts(run, 9)
    assert sorted(path.name for path in run.rollouts.iterdir()) == ["step-2.jsonl", "step-9.jsonl"]
