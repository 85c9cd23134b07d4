"""`tina-azr tasks` on a real buffer and real rollouts."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from tina_azr.cli.main import cli
from tina_azr.config import load_config
from tina_azr.rollout.types import Completion, StopCause
from tina_azr.runs.folder import RunFolder
from tina_azr.runs.rollouts_file import write_rollouts
from tina_azr.selfplay.types import Episode, ProposalRecord, Rollout, RolloutGroup
from tina_azr.tasks.buffer import TaskBuffer, TaskResult
from tina_azr.tasks.queries import ORDERS
from tina_azr.tasks.types import Example, Proposal, Role, Task, Verdict

Tasks = Callable[..., Result]

DEDUCTION = Task(
    key="a1" * 32,
    mode="deduction",
    program="def f(x):\n    x = [x][0] + 1\n    return x",
    input="1",
    output="2",
    structure="s1",
    length=1,
)
INDUCTION = Task(
    key="b2" * 32,
    mode="induction",
    program="def f(x):\n    return x * 2",
    message="twice\x1b[2J the input",
    visible=(Example(input="1", output="2"),),
    hidden=(Example(input="3", output="6"),),
    structure="s2",
    length=1,
)


class Letters:
    """A tokenizer of one letter a token."""

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(map(chr, ids))


def _completion(reasoning: str) -> Completion:
    ids = np.array([ord(c) for c in reasoning] + [0], dtype=np.int64)
    return Completion(
        ids_T=ids,
        logprobs_T=np.zeros(len(ids), dtype=np.float32),
        forced_T=np.zeros(len(ids), dtype=np.bool_),
        stop_cause=StopCause.STOP_ID,
        think_tokens=len(reasoning),
        forced_close=False,
    )


def _rollout(role: Role, reasoning: str, answer: str | None, **fields: Any) -> Rollout:
    completion = _completion(reasoning)
    return Rollout(
        role=role, mode="deduction", group=DEDUCTION.key, prompt_ids=(112,), completion=completion, answer=answer, **fields
    )


def _episode(step: int) -> Episode:
    proposal = ProposalRecord(
        rollout=_rollout(Role.PROPOSER, "add one", "the program", reward=0.5),
        references=(),
        proposal=Proposal(mode="deduction", program=DEDUCTION.program, inputs=("1",)),
        task=DEDUCTION,
        pass_rate=0.5,
    )
    rollouts = (
        _rollout(Role.SOLVER, "1 + 1\n-> 2", "2", verdict=Verdict.CORRECT, reward=1.0),
        _rollout(Role.SOLVER, "hm", None, index=1, verdict=Verdict.MALFORMED, reward=-1.0),
    )
    return Episode(
        step=step,
        proposals=(proposal,),
        groups=(RolloutGroup(task=DEDUCTION, rollouts=rollouts),),
        rollouts=rollouts,
    )


@pytest.fixture
def tasks(tmp_path: Path) -> Tasks:
    """`tina-azr tasks RUN ...` on a run of two tasks."""
    config = load_config()
    run = RunFolder.create(tmp_path / "run", config)
    with TaskBuffer.create(run.tasks_file, config.tasks, ()) as buffer:
        buffer.record_step(3, [TaskResult(task=DEDUCTION, correct=1, attempts=2)])
        buffer.record_step(4, [TaskResult(task=INDUCTION, correct=0, attempts=8)])
    write_rollouts(run, _episode(3), Letters())

    def tasks(*arguments: str, columns: int = 100) -> Result:
        return CliRunner().invoke(cli, ["tasks", str(run.path), *arguments], env={"COLUMNS": str(columns)})

    return tasks


def test_the_list_has_a_line_for_each_task(tasks: Tasks) -> None:
    lines = tasks().output.splitlines()
    assert lines[1].split() == ["b2b2b2b2b2b2", "induction", "4", "0", "%", "def", "f(x):", "/", "return", "x", "*", "2"]
    assert lines[2].startswith("a1a1a1a1a1a1  deduction     3    50 %  def f(x): / x = [x][0] + 1 / return x")
    assert "2 of 2 tasks (1 deduction, 1 induction)" in " ".join(lines[3:])


def test_narrow_terminal_cuts_only_the_program(tasks: Tasks) -> None:
    lines = [line.rstrip() for line in tasks(columns=60).output.splitlines()]
    assert lines[0] == "key           mode       step  solved  program"
    assert lines[2] == "a1a1a1a1a1a1  deduction     3    50 %  def f(x): / x = [x][…"
    assert len(lines) == 4


def test_list_can_be_filtered_and_sorted(tasks: Tasks) -> None:
    assert [task["mode"] for task in json.loads(tasks("--mode", "induction", "--json").output)] == ["induction"]
    assert [task["mode"] for task in json.loads(tasks("--sort", "oldest", "--json").output)] == ["deduction", "induction"]
    assert len(json.loads(tasks("--limit", "1", "--json").output)) == 1
    assert [task["mode"] for task in json.loads(tasks("--contains", "twice", "--json").output)] == ["induction"]


def test_a_shortened_list_says_how_many_match_and_how_many_there_are(tasks: Tasks) -> None:
    assert "1 of 2 tasks (1 deduction" in tasks("--limit", "1").output
    assert "1 of 2 that match, among 2 tasks (1 deduction" in tasks("--contains", "def f", "--limit", "1").output
    assert tasks("--contains", "nowhere").output == "0 of 0 that match, among 2 tasks (1 deduction, 1 induction)\n"


def test_an_unknown_mode_is_refused_with_those_that_exist(tasks: Tasks) -> None:
    refused = tasks("--mode", "foo")
    assert refused.exit_code == 2
    assert "--mode: there is no `foo`. Known: deduction, abduction, induction" in refused.output


def test_an_empty_list_advises_no_key(tmp_path: Path) -> None:
    config = load_config()
    run = RunFolder.create(tmp_path / "run", config)
    with TaskBuffer.create(run.tasks_file, config.tasks, ()):
        pass
    assert CliRunner().invoke(cli, ["tasks", str(run.path)]).output == "0 of 0 tasks\n"


def test_the_orders_of_the_help_are_those_that_exist(tasks: Tasks) -> None:
    words = " ".join(tasks("--help").output.split())
    assert f"{', '.join(list(ORDERS)[:-1])} or {list(ORDERS)[-1]}." in words
    refused = tasks("--sort", "nicest")
    assert refused.exit_code == 2
    assert "tasks cannot be ordered by `nicest`" in refused.output


def test_one_task_shows_program_history_and_rollouts(tasks: Tasks) -> None:
    output = tasks("a1a1").output
    for part in (
        "deduction  " + DEDUCTION.key,
        "from step 3; 1 step; solved 50 %, 2 attempts",
        "x = [x][0] + 1",
        "f(1) = 2",
        "attempts: 1/2 at step 3",
        "proposed at step 3, reward +0.50",
        "tried at step 3: 50 % correct",
        "correct    10 think tokens",
        "1 + 1 / -> 2",
        "malformed  2 think tokens",
        "(no answer)",
    ):
        assert part in output


def test_full_keeps_the_lines_of_the_reasoning(tasks: Tasks) -> None:
    assert "  1 + 1\n" in "\n".join(line.rstrip() for line in tasks("a1a1", "--full").output.splitlines()) + "\n"


def test_one_task_as_json_has_its_rollouts(tasks: Tasks) -> None:
    task = json.loads(tasks("a1", "--json").output)
    assert task["program"] == DEDUCTION.program
    assert task["estimates"] == [{"step": 3, "correct": 1, "attempts": 2}]
    assert [line["kind"] for line in task["rollouts"]] == ["proposal", "task"]


def test_control_characters_of_a_task_are_escaped(tasks: Tasks) -> None:
    output = tasks("b2").output
    assert "\x1b[2J" not in output
    assert "twice\\x1b[2J the input" in output


def test_an_unknown_key_says_so(tasks: Tasks) -> None:
    result = tasks("ffff")
    assert result.exit_code == 2
    assert "holds no task whose key starts with `ffff`" in result.output


def test_an_evicted_task_is_still_found_in_the_rollouts(tasks: Tasks, tmp_path: Path) -> None:
    run = RunFolder.open(tmp_path / "run")
    run.tasks_file.unlink()
    with TaskBuffer.create(run.tasks_file, load_config().tasks, ()):
        pass
    output = tasks("a1a1").output
    assert "evicted from the buffer" in output
    assert "x = [x][0] + 1" in output
    assert "tried at step 3: 50 % correct" in output


def test_a_run_that_is_not_there(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["tasks", str(tmp_path / "none")])
    assert result.exit_code == 1
    assert "no run folder" in result.output
