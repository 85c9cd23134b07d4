"""The buffer from outside: lists, one task, sums."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tina_azr.config import TasksConfig
from tina_azr.errors import ConfigError
from tina_azr.tasks.buffer import TaskBuffer, TaskResult
from tina_azr.tasks.queries import ORDERS, TaskFilter, count_tasks, find_task, list_tasks, summarise
from tina_azr.tasks.schema import Estimate
from tina_azr.tasks.types import Reference, Task

SEED = Reference(program="def f(x):\n    return x", input="1", output="1")


def task(key: str, mode: str, steps: int) -> Task:
    return Task(key=key, mode=mode, program=f"def f({key}):\n    return {key}", input="1", output="1", structure=key, length=steps)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "tasks.sqlite"
    with TaskBuffer.create(path, TasksConfig(), [SEED], image="digest") as buffer:
        buffer.record_step(
            1,
            [
                TaskResult(task=task("aa1", "deduction", 1), correct=8, attempts=8),
                TaskResult(task=task("aa2", "abduction", 2), correct=0, attempts=8),
            ],
        )
        buffer.record_step(
            2,
            [
                TaskResult(task=task("bb3", "deduction", 3), correct=0, attempts=0),
                TaskResult(task=task("aa1", "deduction", 1), correct=4, attempts=8),
            ],
        )
    return path


Keys = Callable[..., list[str]]


@pytest.fixture
def keys(path: Path) -> Keys:
    def listed(order: str = "newest", limit: int = 50, **wanted: object) -> list[str]:
        return [stored.task.key for stored in list_tasks(path, TaskFilter(**wanted), order=order, limit=limit)]  # type: ignore[arg-type]

    return listed


def test_the_newest_come_first_and_no_more_than_asked_for(keys: Keys) -> None:
    assert keys() == ["bb3", "aa2", "aa1"]
    assert keys(limit=2) == ["bb3", "aa2"]


def test_a_count_knows_no_limit(path: Path) -> None:
    assert [count_tasks(path, TaskFilter(mode=mode)) for mode in (None, "deduction", "induction")] == [3, 2, 0]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"mode": "deduction"}, ["bb3", "aa1"]),
        ({"min_pass_rate": 0.1}, ["aa1"]),
        ({"max_pass_rate": 0.1}, ["aa2"]),
        ({"min_length": 2, "max_length": 2}, ["aa2"]),
        ({"since_step": 2}, ["bb3"]),
        ({"contains": "f(aa"}, ["aa2", "aa1"]),
        ({"contains": "%"}, []),
        ({"mode": "deduction", "max_length": 1}, ["aa1"]),
    ],
)
def test_filters(wanted: dict[str, object], expected: list[str], keys: Keys) -> None:
    assert keys(**wanted) == expected


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("oldest", ["aa1", "aa2", "bb3"]),
        ("hardest", ["aa2", "aa1", "bb3"]),
        ("longest", ["bb3", "aa2", "aa1"]),
        ("tried", ["aa1", "aa2", "bb3"]),
    ],
)
def test_orders(order: str, expected: list[str], keys: Keys) -> None:
    assert order in ORDERS
    assert keys(order=order) == expected


def test_an_unknown_order_is_named(keys: Keys) -> None:
    with pytest.raises(ConfigError, match="easiest"):
        keys(order="easiest")


def test_one_task_is_found_by_the_start_of_its_key_with_its_history(path: Path) -> None:
    stored = find_task(path, "aa1")
    assert stored.task == task("aa1", "deduction", 1)
    assert (stored.step, stored.image, stored.tried) == (1, "digest", 16)
    assert stored.pass_rate == pytest.approx(8 / 12)
    assert stored.estimates == (Estimate(step=1, correct=8, attempts=8), Estimate(step=2, correct=4, attempts=8))


@pytest.mark.parametrize(("start", "message"), [("aa", "several"), ("zz", "ever taken in"), ("a%", "ever taken in")])
def test_what_is_not_one_task_is_an_error(start: str, message: str, path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        find_task(path, start)


def test_a_summary_counts(path: Path) -> None:
    summary = summarise(path)
    assert (summary.kept, summary.known, summary.seeds, summary.last_step) == (3, 3, 1, 2)
    assert summary.by_mode == {"abduction": 1, "deduction": 2}
    assert summary.mean_pass_rate == pytest.approx((8 / 12 + 0) / 2)
