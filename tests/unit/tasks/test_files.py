"""Tasks in files: round trips, held-out sets, seeds, and errors that name the line."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tina_azr.errors import ConfigError
from tina_azr.tasks.codec import heldout_from_json, heldout_to_json, task_from_json, task_to_json
from tina_azr.tasks.heldout import heldout_keys, load_heldout, take_per_cell
from tina_azr.tasks.identity import task_key
from tina_azr.tasks.seeds import load_seeds
from tina_azr.tasks.types import Example, HeldoutTask, Task
from tina_azr.text.style import PromptStyle

TEXT = st.text(max_size=12)
EXAMPLES = st.builds(Example, input=TEXT, output=TEXT)
TASKS = st.builds(
    Task,
    key=TEXT,
    mode=TEXT,
    program=TEXT,
    input=TEXT,
    output=TEXT,
    message=TEXT,
    visible=st.lists(EXAMPLES, max_size=3).map(tuple),
    hidden=st.lists(EXAMPLES, max_size=3).map(tuple),
    structure=TEXT,
    length=st.integers(0, 9),
)


@given(TASKS.filter(lambda task: task.mode and task.program))
def test_a_task_survives_json(task: Task) -> None:
    assert task_from_json(json.loads(json.dumps(task_to_json(task)))) == task


@given(TASKS.filter(lambda task: task.mode and task.program), st.integers(1, 6))
def test_a_heldout_task_survives_json(task: Task, stratum: int) -> None:
    held_out = HeldoutTask(task=task, stratum=stratum)
    assert heldout_from_json(json.loads(json.dumps(heldout_to_json(held_out)))) == held_out


PROGRAM = "def f(x):\n    return x + 1"
PAIRS = (Example(input="1", output="2"), Example(input="2", output="3"))
DEDUCTION = Task(key="old", mode="deduction", program=PROGRAM, input="1", output="2")
INDUCTION = Task(key="old", mode="induction", program=PROGRAM, message="m", visible=PAIRS[:1], hidden=PAIRS[1:])


def write(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


def line(task: Task, stratum: int = 1) -> str:
    return json.dumps(heldout_to_json(HeldoutTask(task=task, stratum=stratum)))


def test_keys_of_a_heldout_file_are_this_versions(tmp_path: Path) -> None:
    loaded = load_heldout(write(tmp_path / "set.jsonl", [line(DEDUCTION), "", line(INDUCTION, 2)]))
    assert [one.stratum for one in loaded] == [1, 2]
    assert heldout_keys(loaded[:1], loaded[1:]) == {
        task_key("abduction", PROGRAM, ("1",)),
        task_key("induction", PROGRAM, ("1", "2")),
    }


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("{", "line 2"),
        ("[]", "line 2: an object"),
        ('{"stratum": 1, "mode": "deduction"}', "line 2: the field `program`"),
        ('{"stratum": 0, "mode": "deduction", "program": "def f(x): return x"}', "line 2: `stratum`"),
        ('{"stratum": 1, "mode": "riddle", "program": "def f(x): return x"}', "line 2: there is no task mode `riddle`"),
        ('{"stratum": 1, "mode": "deduction", "program": "def f(x:"}', "line 2: the program is not Python"),
        ('{"stratum": 1, "mode": "deduction", "program": "x", "colour": 1}', "line 2: unknown field `colour`"),
        ('{"stratum": 1, "mode": "deduction", "program": "x", "visible": [[1, 2]]}', "line 2: `visible`"),
    ],
)
def test_a_bad_line_is_named(bad: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        load_heldout(write(tmp_path / "set.jsonl", [line(DEDUCTION), bad]))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.jsonl cannot be read"):
        load_heldout(tmp_path / "none.jsonl")


def test_cells_are_cut_to_size_in_order() -> None:
    tasks = [HeldoutTask(task=task, stratum=stratum) for stratum in (1, 2) for task in [DEDUCTION] * 3 + [INDUCTION] * 2]
    kept = take_per_cell(tasks, 2)
    assert [(one.task.mode, one.stratum) for one in kept] == [
        ("deduction", 1), ("deduction", 1), ("induction", 1), ("induction", 1),
        ("deduction", 2), ("deduction", 2), ("induction", 2), ("induction", 2),
    ]  # fmt: skip


def test_the_full_seeds_are_different_programs_and_begin_with_the_identity() -> None:
    seeds = load_seeds(PromptStyle.FULL)
    assert seeds[0].program == "def f(a):\n    return a"
    assert len({seed.program for seed in seeds}) == len(seeds) >= 13
