"""Task buffer of a run: valid tasks, their pass rates, and the references that proposers are shown.

A step is one transaction (`record_step`); `schema` describes the tables. All randomness comes from the caller's generator, so a buffer
that is restored from a snapshot continues exactly as the original would have.
"""

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from tina_azr.config import TasksConfig
from tina_azr.errors import RunError
from tina_azr.tasks.eviction import Candidate, choose_evicted
from tina_azr.tasks.identity import task_key
from tina_azr.tasks.modes import MODES
from tina_azr.tasks.sampling import forecast_weights, reference_weights, retry_weights
from tina_azr.tasks.schema import STORED_COLUMNS, TASK_COLUMNS, connect, create, guarded, stored_from_row, task_to_row, transaction
from tina_azr.tasks.types import Reference, Task

STRUCTURE_WINDOW = 1_500
"""Newest tasks among which tasks of one template are counted (`tasks.max_repeats_of_structure`)."""
SPARE_DRAWS = 4
"""Tasks drawn for each wanted reference: some are one program with another input."""
DISCOUNT = 0.5
"""Weight of older rollouts next to those of a new group: they are of an older policy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskResult:
    """Result of one group of rollouts of a task, new or known."""

    task: Task
    correct: int
    attempts: int
    """Rollouts; 0 for a task that was not solved."""
    think_tokens: float = 0.0
    """Mean over the rollouts."""
    confidence_before: float | None = None
    """Forecast of the pass rate before any rollout; None without heads."""
    confidence_after: float | None = None
    """Mean forecast of correctness after reasoning."""
    plan: Mapping[str, float] = field(default_factory=dict)
    """Probability of each plan."""
    budget: Mapping[str, float] = field(default_factory=dict)
    """Think tokens by quantile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pool:
    """Tasks that can be references, and how much each is wanted."""

    ids: NDArray[np.int64]
    weights: NDArray[np.float64]


class TaskBuffer:
    """One open `tasks.sqlite`."""

    def __init__(self, connection: sqlite3.Connection, path: Path, settings: TasksConfig, *, image: str = "") -> None:
        self._connection = connection
        self._path = path
        self._settings = settings
        self._image = image
        self._seeds = self._read_seeds()
        self._pool: _Pool | None = None

    @classmethod
    def create(cls, path: Path, settings: TasksConfig, seeds: Iterable[Reference], *, image: str = "") -> Self:
        """Create a buffer that knows the seeds. `image`: digest of the sandbox images, stored with every task."""
        connection = create(path)
        with transaction(connection, path):
            _insert_seeds(connection, tuple(seeds))
        return cls(connection, path, settings, image=image)

    @classmethod
    def open(cls, path: Path, settings: TasksConfig, *, image: str = "") -> Self:
        """Open an existing buffer. Raises CheckpointError if it is missing or damaged."""
        return cls(connect(path), path, settings, image=image)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Merge the log into the file and close it."""
        self._connection.close()

    def __len__(self) -> int:
        return self._count("SELECT count(*) FROM tasks")

    @property
    def last_step(self) -> int | None:
        """The newest recorded step."""
        step = self._value("SELECT max(step) FROM steps")
        return None if step is None else int(step)

    # What validation asks.

    def is_known(self, key: str) -> bool:
        """Return whether this task was ever added, or is a seed."""
        return self._count("SELECT count(*) FROM known WHERE key = ?", key) > 0

    def structure_count(self, mode: str, structure: str) -> int:
        """Count the tasks of this mode and structure among the newest `STRUCTURE_WINDOW` of all, evicted ones too."""
        oldest = self._count("SELECT max(arrival) FROM known") - STRUCTURE_WINDOW
        query = "SELECT count(*) FROM known WHERE mode = ? AND structure = ? AND arrival > ?"
        return self._count(query, mode, structure, oldest)

    # What the proposer is shown, what is tried again.

    def sample_references(self, draw: np.random.Generator, count: int) -> tuple[Reference, ...]:
        """Draw `count` different programs to show, or as many as there are: a share of `seed_share` seeds, the rest own tasks.

        Own tasks are drawn with more weight if they are recent, solved sometimes, and long.
        """
        wanted = count - int(draw.binomial(count, self._settings.seed_share))
        own = self._own_references(draw, max(wanted, count - len(self._seeds)))
        from_seeds = min(count - len(own), len(self._seeds))
        seeds = draw.choice(len(self._seeds), size=from_seeds, replace=False) if from_seeds else ()
        chosen = [*own, *(self._seeds[index] for index in seeds)]
        return tuple(chosen[index] for index in draw.permutation(len(chosen)))

    def _own_references(self, draw: np.random.Generator, count: int) -> list[Reference]:
        """Own tasks with different programs."""
        pool = self._reference_pool()
        chosen: dict[str, Reference] = {}
        if count <= 0 or not len(pool.ids):
            return []
        for id in draw.choice(pool.ids, size=min(SPARE_DRAWS * count, len(pool.ids)), replace=False, p=pool.weights):
            (row,) = self._rows("SELECT program, input, output FROM tasks WHERE id = ?", int(id))
            chosen.setdefault(row["program"], Reference(program=row["program"], input=row["input"], output=row["output"]))
            if len(chosen) == count:
                break
        return list(chosen.values())

    def sample_tasks(self, draw: np.random.Generator, mode: str, count: int, *, by_confidence: bool = False) -> tuple[Task, ...]:
        """Draw different tasks of a mode to solve again, with more weight on uncertain ones.

        Uncertain by their pass rate, or (`by_confidence`) by the last forecast of it.
        """
        rows = self._rows("SELECT id, correct, attempts, c0 FROM tasks WHERE mode = ? ORDER BY id", mode)
        if not rows or count <= 0:
            return ()
        ids = np.array([row["id"] for row in rows], dtype=np.int64)
        weights = forecast_weights(_forecasts(rows)) if by_confidence else retry_weights(_pass_rates(rows))
        chosen = draw.choice(ids, size=min(count, len(ids)), replace=False, p=weights)
        return tuple(self._task(int(id)) for id in chosen)

    @property
    def seeds(self) -> tuple[Reference, ...]:
        """The programs that the run started from."""
        return self._seeds

    def rollouts_by_length(self, since: int) -> dict[tuple[str, int], tuple[int, int]]:
        """Return (correct, all) rollouts by (mode, program length), over the groups of step `since` and later."""
        query = (
            "SELECT mode, steps, sum(estimates.correct) AS correct, sum(estimates.attempts) AS attempts "
            "FROM estimates JOIN tasks ON tasks.id = estimates.task WHERE estimates.step >= ? GROUP BY mode, steps"
        )
        return {(row["mode"], row["steps"]): (row["correct"], row["attempts"]) for row in self._rows(query, since)}

    # What a step leaves.

    def record_step(self, step: int, results: Sequence[TaskResult]) -> None:
        """Add the new tasks and pass rates of a step and evict tasks over the size, in one transaction."""
        last = self.last_step
        if last is not None and step <= last:
            raise RunError(f"{self._path} holds step {last} already: to play step {step} again, restore the checkpoint before it.")
        with transaction(self._connection, self._path):
            added = sum(self._add(step, result.task) for result in results)
            for result in results:
                if result.attempts:
                    self._estimate(step, result)
            evicted = self._evict(step)
            self._connection.execute("INSERT INTO steps VALUES (?, ?, ?, ?)", (step, added, evicted, len(self)))
        self._pool = None

    def pass_rate(self, key: str) -> float | None:
        """Return the discounted pass rate of a task; None if it was never solved or is not in the buffer."""
        return self._value("SELECT correct / attempts FROM tasks WHERE key = ? AND attempts > 0", key)

    def _add(self, step: int, task: Task) -> bool:
        if self.is_known(task.key):
            return False
        arrival = self._count("SELECT max(arrival) FROM known") + 1
        self._connection.execute("INSERT INTO known VALUES (?, ?, ?, ?)", (task.key, arrival, task.mode, task.structure))
        columns = (*TASK_COLUMNS, "id", "step", "image")
        marks = ", ".join("?" * len(columns))
        self._connection.execute(
            f"INSERT INTO tasks ({', '.join(columns)}) VALUES ({marks})", (*task_to_row(task), arrival, step, self._image)
        )
        return True

    def _estimate(self, step: int, result: TaskResult) -> None:
        """One more group. A task that was evicted meanwhile has no row, and nothing happens."""
        forecast = (
            json.dumps({"plan": dict(result.plan), "budget": dict(result.budget)}) if result.confidence_before is not None else None
        )
        found = (
            step,
            result.correct,
            result.attempts,
            result.think_tokens,
            result.confidence_before,
            result.confidence_after,
            forecast,
            result.task.key,
        )
        self._connection.execute("INSERT INTO estimates SELECT id, ?, ?, ?, ?, ?, ?, ? FROM tasks WHERE key = ?", found)
        self._connection.execute(
            "UPDATE tasks SET correct = correct * ? + ?, attempts = attempts * ? + ?, tried = tried + ?, c0 = ? WHERE key = ?",
            (DISCOUNT, result.correct, DISCOUNT, result.attempts, result.attempts, result.confidence_before, result.task.key),
        )

    def _evict(self, step: int) -> int:
        if len(self) <= self._settings.buffer_size:
            return 0
        candidates = [
            Candidate(
                id=row["id"],
                mode=row["mode"],
                structure=row["structure"],
                step=row["step"],
                pass_rate=row["correct"] / row["attempts"] if row["attempts"] else None,
            )
            for row in self._rows("SELECT id, mode, structure, step, correct, attempts FROM tasks")
        ]
        evicted = choose_evicted(candidates, size=self._settings.buffer_size, step=step)
        self._connection.executemany("DELETE FROM tasks WHERE id = ?", [(id,) for id in evicted])
        return len(evicted)

    # Snapshots.

    def snapshot_to(self, path: Path) -> None:
        """Write a copy of the present state as one file. `path` must not exist."""
        if path.exists():
            raise RunError(f"{path} exists already; a snapshot is a file of its own.")
        with guarded(path):
            copy = sqlite3.connect(path)
            try:
                self._connection.backup(copy)
                copy.execute("PRAGMA journal_mode = DELETE")  # one file, no log beside it
            finally:
                copy.close()

    # Queries.

    def _reference_pool(self) -> _Pool:
        if self._pool is None:
            # A task that is one call can be shown as program, input and output.
            rows = self._rows("SELECT id, steps, correct, attempts FROM tasks WHERE input != '' ORDER BY id DESC")
            steps = np.array([row["steps"] for row in rows], dtype=np.float64)
            ids = np.array([row["id"] for row in rows], dtype=np.int64)
            self._pool = _Pool(ids=ids, weights=reference_weights(_pass_rates(rows), steps))
        return self._pool

    def _task(self, id: int) -> Task:
        (row,) = self._rows(f"SELECT {', '.join(STORED_COLUMNS)} FROM tasks WHERE id = ?", id)
        return stored_from_row(row).task

    def _read_seeds(self) -> tuple[Reference, ...]:
        rows = self._rows("SELECT program, input, output FROM seeds ORDER BY number")
        return tuple(Reference(program=row["program"], input=row["input"], output=row["output"]) for row in rows)

    def _rows(self, query: str, *values: str | int) -> list[sqlite3.Row]:
        with guarded(self._path):
            return self._connection.execute(query, values).fetchall()

    def _value(self, query: str, *values: str | int) -> float | None:
        rows = self._rows(query, *values)
        return rows[0][0] if rows else None

    def _count(self, query: str, *values: str | int) -> int:
        return int(self._value(query, *values) or 0)


def _pass_rates(rows: Sequence[sqlite3.Row]) -> NDArray[np.float64]:
    """Pass rates; NaN for a task that was never solved."""
    return np.array([row["correct"] / row["attempts"] if row["attempts"] else np.nan for row in rows], dtype=np.float64)


def _forecasts(rows: Sequence[sqlite3.Row]) -> NDArray[np.float64]:
    """Forecasts; NaN for a task without one."""
    return np.array([np.nan if row["c0"] is None else row["c0"] for row in rows], dtype=np.float64)


def _insert_seeds(connection: sqlite3.Connection, seeds: Sequence[Reference]) -> None:
    """The seeds, and their keys in every family of modes that would count them as a task."""
    families = {mode.family: mode.name for mode in MODES.values() if mode.invents}
    for number, seed in enumerate(seeds):
        connection.execute("INSERT INTO seeds VALUES (?, ?, ?, ?)", (number, seed.program, seed.input, seed.output))
        for name in families.values():
            key = task_key(name, seed.program, (seed.input,))
            connection.execute("INSERT OR IGNORE INTO known VALUES (?, NULL, '', '')", (key,))
