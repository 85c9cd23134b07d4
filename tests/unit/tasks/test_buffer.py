"""The buffer: one transaction a step, sampling, pass rates, eviction, exact snapshots."""

import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tina_azr.config import TasksConfig
from tina_azr.errors import CheckpointError, RunError
from tina_azr.tasks.buffer import TaskBuffer, TaskResult
from tina_azr.tasks.identity import task_key
from tina_azr.tasks.schema import connect
from tina_azr.tasks.types import Example, Reference, Task

SEEDS = tuple(Reference(program=f"def f(x):\n    return x - {n}", input="9", output=str(9 - n)) for n in range(4))
MakeBuffer = Callable[..., TaskBuffer]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[MakeBuffer]:
    opened = []

    def create(name: str = "tasks", **settings: float) -> TaskBuffer:
        values = {"buffer_size": 64, **settings}
        opened.append(TaskBuffer.create(tmp_path / f"{name}.sqlite", TasksConfig.model_validate(values), SEEDS, image="digest"))
        return opened[-1]

    yield create
    for buffer in opened:
        buffer.close()


def task(n: int, *, mode: str = "deduction", structure: str = "", steps: int = 2) -> Task:
    program = f"def f(x):\n    return x * {n}"
    key = task_key(mode, program, ("2",))
    plain = Task(key=key, mode=mode, program=program, input="2", output=str(2 * n), structure=structure or f"s{n}", length=steps)
    if mode != "induction":
        return plain
    pair = Example(input=plain.input, output=plain.output)
    return replace(plain, input="", output="", message="m", visible=(pair,), hidden=(pair,))


def tried(n: int, correct: int = 4, attempts: int = 8, **fields: str | int) -> TaskResult:
    return TaskResult(task=task(n, **fields), correct=correct, attempts=attempts)  # type: ignore[arg-type]


def rate(buffer: TaskBuffer, n: int) -> float:
    found = buffer.pass_rate(task(n).key)
    assert found is not None
    return found


def draw(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def contents(path: Path) -> list[str]:
    connection = connect(path, read_only=True)
    try:
        return sorted(connection.iterdump())
    finally:
        connection.close()


def test_a_recorded_task_is_known_and_comes_back_whole(make: MakeBuffer) -> None:
    buffer = make()
    induction = task(1, mode="induction")
    buffer.record_step(1, [TaskResult(task=induction, correct=2, attempts=8)])
    assert buffer.is_known(induction.key)
    assert buffer.sample_tasks(draw(), "induction", 5) == (induction,)
    assert buffer.pass_rate(induction.key) == 0.25


def test_a_seed_is_known_in_every_mode_that_could_propose_it(make: MakeBuffer) -> None:
    buffer = make()
    renamed = "def f(number):\n    return number - 1"
    assert buffer.is_known(task_key("deduction", renamed, ("9",)))
    assert not buffer.is_known(task_key("deduction", renamed, ("8",)))


def test_a_step_is_recorded_whole_or_not_at_all(make: MakeBuffer, monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = make()
    buffer.record_step(1, [tried(1)])

    def broken(self: TaskBuffer, step: int) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(TaskBuffer, "_evict", broken)
    with pytest.raises(KeyboardInterrupt):
        buffer.record_step(2, [tried(2), tried(1, correct=8)])
    assert (len(buffer), buffer.last_step, buffer.pass_rate(task(1).key)) == (1, 1, 0.5)
    assert not buffer.is_known(task(2).key)


def test_a_step_cannot_be_recorded_twice(make: MakeBuffer) -> None:
    buffer = make()
    buffer.record_step(3, [tried(1)])
    with pytest.raises(RunError, match="holds step 3"):
        buffer.record_step(3, [tried(2)])
    assert len(buffer) == 1


def test_a_task_proposed_again_is_one_more_estimate_and_not_one_more_task(make: MakeBuffer) -> None:
    buffer = make()
    buffer.record_step(1, [tried(1, correct=0)])
    buffer.record_step(2, [tried(1, correct=8)])
    assert len(buffer) == 1
    assert rate(buffer, 1) == pytest.approx(2 / 3)


def test_pass_rates_follow_a_policy_that_changes(make: MakeBuffer) -> None:
    buffer = make()
    for step in range(1, 11):
        buffer.record_step(step, [tried(1, correct=0 if step <= 5 else 8)])
    assert rate(buffer, 1) > 0.95


def test_the_smallest_group_moves_an_estimate_least(make: MakeBuffer) -> None:
    buffer = make()
    buffer.record_step(1, [tried(1, correct=0, attempts=64), tried(2, correct=0, attempts=2)])
    buffer.record_step(2, [tried(1, correct=2, attempts=2), tried(2, correct=2, attempts=2)])
    assert rate(buffer, 1) < 0.1 < 0.5 < rate(buffer, 2)


def test_an_untried_task_has_no_pass_rate(make: MakeBuffer) -> None:
    buffer = make()
    buffer.record_step(1, [tried(1, correct=0, attempts=0)])
    assert buffer.pass_rate(task(1).key) is None


def test_fault_freeze_a_full_buffer_takes_in_new_tasks_and_shows_them(make: MakeBuffer) -> None:
    """The original keeps the first `max_programs` entries: once full it drops every new task, and shows old ones as recent."""
    buffer = make(buffer_size=16, seed_share=0.0)
    for step in range(1, 31):
        buffer.record_step(step, [tried(10 * step + n) for n in range(4)])
    assert len(buffer) == 16
    shown = {reference.program for seed in range(40) for reference in buffer.sample_references(draw(seed), 2)}
    newest = {task(10 * step + n).program for step in (29, 30) for n in range(4)}
    assert newest <= shown


def test_what_was_evicted_is_still_known(make: MakeBuffer) -> None:
    buffer = make(buffer_size=16)
    for step in range(1, 11):
        buffer.record_step(step, [tried(10 * step + n) for n in range(4)])
    assert all(buffer.is_known(task(10 * step + n).key) for step in range(1, 11) for n in range(4))
    buffer.record_step(11, [tried(10)])
    assert task(10) not in buffer.sample_tasks(draw(), "deduction", 99)


def test_structures_are_counted_among_the_newest_of_their_mode_only(make: MakeBuffer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tina_azr.tasks.buffer.STRUCTURE_WINDOW", 6)
    buffer = make(buffer_size=16)
    buffer.record_step(1, [tried(n, structure="old") for n in range(3)])
    buffer.record_step(2, [tried(10 + n, structure="new", mode="abduction") for n in range(4)])
    assert buffer.structure_count("deduction", "old") == 2
    assert buffer.structure_count("abduction", "new") == 4
    assert buffer.structure_count("deduction", "new") == 0
    buffer.record_step(3, [tried(20 + n) for n in range(6)])
    assert buffer.structure_count("abduction", "new") == 0


def test_structure_counts_outlive_eviction(make: MakeBuffer) -> None:
    buffer = make(buffer_size=16)
    for step in range(1, 9):
        buffer.record_step(step, [tried(10 * step + n, structure="crowd") for n in range(4)])
    assert buffer.structure_count("deduction", "crowd") == 32


def test_references_are_different_and_as_many_as_asked_for(make: MakeBuffer) -> None:
    buffer = make()
    buffer.record_step(1, [tried(n) for n in range(6)])
    for seed in range(20):
        references = buffer.sample_references(draw(seed), 6)
        assert len(set(references)) == len(references) == 6


def test_a_program_is_shown_once_whatever_its_inputs(make: MakeBuffer) -> None:
    buffer = make(seed_share=0.0)
    again = [replace(task(1), key=f"again{n}", input=str(n)) for n in range(3)]
    buffer.record_step(1, [TaskResult(task=one, correct=4, attempts=8) for one in (task(1), *again)])
    references = buffer.sample_references(draw(), 3)
    assert len(references) == 3 == len({reference.program for reference in references})


def test_references_are_fewer_only_where_there_are_no_more(make: MakeBuffer) -> None:
    buffer = make()
    buffer.record_step(1, [tried(n) for n in range(3)])
    assert len(buffer.sample_references(draw(), 20)) == len(SEEDS) + 3


def test_before_any_task_all_references_are_seeds(make: MakeBuffer) -> None:
    assert set(make(seed_share=0.0).sample_references(draw(), 4)) == set(SEEDS)


def test_a_share_of_references_are_seeds(make: MakeBuffer) -> None:
    buffer = make(seed_share=0.25)
    buffer.record_step(1, [tried(n) for n in range(20)])
    rng = draw()
    from_seeds = sum(buffer.sample_references(rng, 1)[0] in SEEDS for _ in range(400))
    assert 0.15 < from_seeds / 400 < 0.35


def _shown(buffer: TaskBuffer) -> Counter[str]:
    rng = draw()
    return Counter(buffer.sample_references(rng, 1)[0].program for _ in range(300))


def test_tasks_solved_sometimes_are_shown_rather_than_others(make: MakeBuffer) -> None:
    buffer = make(seed_share=0.0)
    buffer.record_step(1, [tried(1, correct=0), tried(2, correct=4), tried(3, correct=8), tried(4, correct=0, attempts=0)])
    shown = _shown(buffer)
    assert shown[task(2).program] > 0.8 * shown.total()


def test_longer_tasks_are_shown_rather_than_shorter_ones(make: MakeBuffer) -> None:
    buffer = make(seed_share=0.0)
    buffer.record_step(1, [tried(1, steps=1), tried(2, steps=4), tried(3, steps=9)])
    shown = _shown(buffer)
    assert shown[task(2).program] > 2 * shown[task(1).program]
    assert shown[task(3).program] < 2 * shown[task(2).program]


def test_recent_tasks_are_shown_rather_than_old_ones(make: MakeBuffer) -> None:
    buffer = make(seed_share=0.0, buffer_size=2000)
    buffer.record_step(1, [tried(n) for n in range(1200)])
    shown = _shown(buffer)
    assert sum(shown[task(n).program] for n in range(800, 1200)) > 0.5 * shown.total()


def test_a_task_of_several_pairs_is_no_reference(make: MakeBuffer) -> None:
    buffer = make(seed_share=0.0)
    buffer.record_step(1, [tried(1, mode="induction")])
    assert set(buffer.sample_references(draw(), 2)) <= set(SEEDS)


def test_uncertain_tasks_are_tried_again_first(make: MakeBuffer) -> None:
    buffer = make()
    buffer.record_step(1, [tried(1, correct=4), *(tried(n, correct=0) for n in range(2, 6))])
    first = Counter(buffer.sample_tasks(draw(seed), "deduction", 1)[0].program for seed in range(100))
    assert first[task(1).program] > 80


@pytest.mark.parametrize("count", [0, -3])
def test_no_task_is_tried_again_where_none_is_wanted(make: MakeBuffer, count: int) -> None:
    buffer = make()
    buffer.record_step(1, [tried(1)])
    assert buffer.sample_tasks(draw(), "deduction", count) == ()


def test_tries_are_summed_by_mode_and_length_since_a_step(make: MakeBuffer) -> None:
    buffer = make()
    buffer.record_step(1, [tried(1, correct=8, steps=2)])
    buffer.record_step(
        2, [tried(2, correct=3, steps=2), tried(1, correct=2, steps=2), tried(3, correct=0, steps=3, mode="abduction")]
    )
    assert buffer.rollouts_by_length(2) == {("deduction", 2): (5, 16), ("abduction", 3): (0, 8)}


def test_all_randomness_is_the_callers(make: MakeBuffer) -> None:
    results = [tried(n) for n in range(20)]
    samples = []
    for name in ("one", "two"):
        buffer = make(name)
        buffer.record_step(1, results)
        samples.append([buffer.sample_references(draw(7), 5), buffer.sample_tasks(draw(7), "deduction", 5)])
    assert samples[0] == samples[1]


def test_a_snapshot_restores_every_row_and_what_follows(make: MakeBuffer, tmp_path: Path) -> None:
    buffer = make(buffer_size=16)
    for step in range(1, 8):
        buffer.record_step(step, [tried(10 * step + n) for n in range(4)])
    buffer.snapshot_to(tmp_path / "saved.sqlite")
    saved = contents(tmp_path / "saved.sqlite")

    def go_on() -> tuple[list[str], tuple[Reference, ...]]:
        buffer.record_step(8, [tried(1), tried(2, correct=8)])
        return contents(tmp_path / "tasks.sqlite"), buffer.sample_references(draw(3), 4)

    first = go_on()
    assert contents(tmp_path / "saved.sqlite") == saved
    buffer.close()
    shutil.copyfile(tmp_path / "saved.sqlite", tmp_path / "tasks.sqlite")
    with TaskBuffer.open(tmp_path / "tasks.sqlite", TasksConfig(buffer_size=16), image="digest") as buffer:
        assert contents(tmp_path / "tasks.sqlite") == saved
        assert go_on() == first


def test_a_snapshot_is_one_file_and_overwrites_none(make: MakeBuffer, tmp_path: Path) -> None:
    buffer = make()
    saved = tmp_path / "checkpoint" / "tasks.sqlite"
    saved.parent.mkdir()
    buffer.snapshot_to(saved)
    assert list(saved.parent.iterdir()) == [saved]
    with pytest.raises(RunError, match="exists already"):
        buffer.snapshot_to(saved)


def test_a_killed_writer_leaves_the_last_whole_step(make: MakeBuffer, tmp_path: Path) -> None:
    buffer = make()
    buffer.record_step(1, [tried(1)])
    # What a killed process leaves: a transaction begun in the log and never committed.
    dead = sqlite3.connect(tmp_path / "tasks.sqlite", isolation_level=None)
    dead.execute("BEGIN IMMEDIATE")
    dead.execute("DELETE FROM tasks")
    dead.close()
    with TaskBuffer.open(tmp_path / "tasks.sqlite", TasksConfig()) as again:
        assert (len(again), again.last_step) == (1, 1)
        again.record_step(2, [tried(2)])


def test_the_buffer_can_be_read_while_it_is_written(make: MakeBuffer, tmp_path: Path) -> None:
    buffer = make()
    buffer.record_step(1, [tried(1)])
    reader = connect(tmp_path / "tasks.sqlite", read_only=True)
    reader.execute("BEGIN")
    before = reader.execute("SELECT count(*) FROM tasks").fetchone()[0]
    buffer.record_step(2, [tried(2)])
    assert (before, reader.execute("SELECT count(*) FROM tasks").fetchone()[0]) == (1, 1)
    reader.close()


def test_an_existing_buffer_is_not_overwritten(make: MakeBuffer) -> None:
    make()
    with pytest.raises(RunError, match="exists already"):
        make()


@pytest.mark.parametrize("content", [b"", b"not a database at all, only text that is long enough" * 30], ids=["empty", "text"])
def test_a_file_that_is_no_buffer_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "tasks.sqlite"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"tasks\.sqlite"):
        TaskBuffer.open(path, TasksConfig())


def test_another_database_and_another_format_are_refused(make: MakeBuffer, tmp_path: Path) -> None:
    make("mine").close()
    for name, pragma, message in (("mine", "user_version = 9", "format 9"), ("mine", "application_id = 1", "no task buffer")):
        other = sqlite3.connect(tmp_path / f"{name}.sqlite")
        other.execute(f"PRAGMA {pragma}")
        other.commit()
        other.close()
        with pytest.raises(CheckpointError, match=message):
            TaskBuffer.open(tmp_path / "mine.sqlite", TasksConfig())


def test_a_missing_buffer_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no task buffer here"):
        TaskBuffer.open(tmp_path / "none.sqlite", TasksConfig())


def test_a_write_that_does_not_fit_is_an_error_that_loses_nothing(make: MakeBuffer) -> None:
    buffer = make(buffer_size=10_000)
    buffer.record_step(1, [tried(1)])
    buffer._connection.execute(f"PRAGMA max_page_count = {buffer._connection.execute('PRAGMA page_count').fetchone()[0] + 2}")
    with pytest.raises(RunError, match="full"):
        buffer.record_step(2, [tried(n) for n in range(2, 500)])
    assert (len(buffer), buffer.last_step) == (1, 1)
