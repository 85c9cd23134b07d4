"""Reading a run's buffer from outside, also while the run goes on: for `tina-azr tasks` and for notebooks."""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from tina_azr.errors import ConfigError
from tina_azr.tasks.schema import STORED_COLUMNS, Estimate, StoredTask, connect, guarded, stored_from_row

ORDERS = {
    "newest": "id DESC",
    "oldest": "id",
    "hardest": "correct / nullif(attempts, 0) IS NULL, correct / nullif(attempts, 0), id DESC",
    "longest": "steps DESC, id DESC",
    "tried": "tried DESC, id DESC",
}
"""What a list can be ordered by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFilter:
    """Which tasks to list; what is None does not matter."""

    mode: str | None = None
    min_pass_rate: float | None = None
    max_pass_rate: float | None = None
    min_length: int | None = None
    max_length: int | None = None
    since_step: int | None = None
    """Of self-play."""
    contains: str | None = None
    """Text in program or message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BufferSummary:
    """A buffer in a few numbers."""

    kept: int
    known: int
    """Ever taken in, evicted ones too, seeds not counted."""
    seeds: int
    last_step: int | None
    by_mode: Mapping[str, int]
    mean_pass_rate: float | None


def list_tasks(path: Path, wanted: TaskFilter, *, order: str = "newest", limit: int = 50) -> list[StoredTask]:
    """Tasks that pass the filter, without their histories. `order` is a key of `ORDERS`."""
    if order not in ORDERS:
        raise ConfigError(f"tasks cannot be ordered by `{order}`. Known: {', '.join(ORDERS)}.")
    where, values = _where(wanted)
    query = f"SELECT {', '.join(STORED_COLUMNS)} FROM tasks WHERE {where} ORDER BY {ORDERS[order]} LIMIT ?"
    with closing(connect(path, read_only=True)) as connection, guarded(path):
        return [stored_from_row(row) for row in connection.execute(query, (*values, limit))]


def count_tasks(path: Path, wanted: TaskFilter) -> int:
    """How many tasks pass the filter."""
    where, values = _where(wanted)
    with closing(connect(path, read_only=True)) as connection, guarded(path):
        return int(connection.execute(f"SELECT count(*) FROM tasks WHERE {where}", values).fetchone()[0])


def find_task(path: Path, key: str) -> StoredTask:
    """The one task whose key starts with `key`, with its history. Raises ConfigError if there is none, or more than one."""
    query = f"SELECT {', '.join(STORED_COLUMNS)} FROM tasks WHERE substr(key, 1, ?) = ? ORDER BY id LIMIT 2"
    with closing(connect(path, read_only=True)) as connection, guarded(path):
        rows = connection.execute(query, (len(key), key)).fetchall()
        if len(rows) == 1:
            return stored_from_row(rows[0], _history(connection, rows[0]["id"]))
        if rows:
            raise ConfigError(f"several tasks in {path} have a key that starts with `{key}`: give more of its digits.")
        known = connection.execute("SELECT count(*) FROM known WHERE substr(key, 1, ?) = ?", (len(key), key)).fetchone()[0]
        why = (
            "it was evicted, or is a seed; its rollouts are still in the run's folder"
            if known
            else "no such task was ever taken in"
        )
        raise ConfigError(f"{path} holds no task whose key starts with `{key}`: {why}.")


def summarise(path: Path) -> BufferSummary:
    """Counts and the mean pass rate."""
    with closing(connect(path, read_only=True)) as connection, guarded(path):

        def value(query: str) -> float | None:
            found: float | None = connection.execute(query).fetchone()[0]
            return found

        last_step = value("SELECT max(step) FROM steps")
        return BufferSummary(
            kept=int(value("SELECT count(*) FROM tasks") or 0),
            known=int(value("SELECT count(arrival) FROM known") or 0),
            seeds=int(value("SELECT count(*) FROM seeds") or 0),
            last_step=None if last_step is None else int(last_step),
            by_mode=dict(connection.execute("SELECT mode, count(*) FROM tasks GROUP BY mode ORDER BY mode").fetchall()),
            mean_pass_rate=value("SELECT avg(correct / attempts) FROM tasks WHERE attempts > 0"),
        )


def _history(connection: sqlite3.Connection, id: int) -> tuple[Estimate, ...]:
    rows = connection.execute("SELECT step, correct, attempts FROM estimates WHERE task = ? ORDER BY rowid", (id,))
    return tuple(Estimate(step=row["step"], correct=row["correct"], attempts=row["attempts"]) for row in rows)


def _where(wanted: TaskFilter) -> tuple[str, tuple[object, ...]]:
    """The condition and the values of its question marks."""
    conditions = {
        "mode = ?": wanted.mode,
        "attempts > 0 AND correct / attempts >= ?": wanted.min_pass_rate,
        "attempts > 0 AND correct / attempts <= ?": wanted.max_pass_rate,
        "steps >= ?": wanted.min_length,
        "steps <= ?": wanted.max_length,
        "step >= ?": wanted.since_step,
        "instr(program || char(10) || message, ?) > 0": wanted.contains,
    }
    used = {condition: value for condition, value in conditions.items() if value is not None}
    return " AND ".join(used) or "1", tuple(used.values())
