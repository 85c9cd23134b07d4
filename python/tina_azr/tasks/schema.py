"""`tasks.sqlite`: its tables, how it is opened, and how rows become tasks.

Written in one transaction a step:

- `tasks`: what is remembered in full. `id` grows with arrival; `key` identifies (see `identity`); `visible` and `hidden` are JSON
  lists of [input, output]; `step` is the step of self-play that brought it; `image` is the digest of the sandbox images that
  validated it; `correct` and `attempts` are discounted counts whose ratio is the pass rate; `tried` counts all rollouts ever; `c0` is
  the last forecast of the pass rate.
- `estimates`: one row for every group of rollouts of a task: `step`, `correct`, `attempts`, mean `think_tokens`, the forecasts `c0`
  (before) and `cE` (after, mean), and `forecast`, JSON with `plan` and `budget`. Null without heads. Goes when the task is evicted.
- `known`: every key that was ever taken in, with `mode` and `structure`, in order of `arrival` (null for seeds). Never shrinks:
  what was evicted is still no new task.
- `steps`: one row a recorded step, with what was added, evicted and kept.
- `seeds`: the fixed references, written when the file is created.

The journal is a write-ahead log: readers see the last whole step while the next is being written, and a killed process loses at
most the step that it was writing.
"""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from tina_azr.errors import CheckpointError, RunError
from tina_azr.tasks.codec import pairs_from_json, pairs_to_json
from tina_azr.tasks.types import Task

APPLICATION = 0x54494E41
"""`TINA`, in the file's header: tells this file from any other database."""
VERSION = 2

TABLES = """
CREATE TABLE tasks (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    mode TEXT NOT NULL,
    program TEXT NOT NULL,
    input TEXT NOT NULL,
    output TEXT NOT NULL,
    message TEXT NOT NULL,
    visible TEXT NOT NULL,
    hidden TEXT NOT NULL,
    structure TEXT NOT NULL,
    steps INTEGER NOT NULL,
    step INTEGER NOT NULL,
    image TEXT NOT NULL,
    correct REAL NOT NULL DEFAULT 0,
    attempts REAL NOT NULL DEFAULT 0,
    tried INTEGER NOT NULL DEFAULT 0,
    c0 REAL
) STRICT;
CREATE TABLE estimates (
    task INTEGER NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
    step INTEGER NOT NULL,
    correct INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    think_tokens REAL NOT NULL,
    c0 REAL,
    cE REAL,
    forecast TEXT
) STRICT;
CREATE INDEX estimates_of_task ON estimates (task, step);
CREATE TABLE known (
    key TEXT PRIMARY KEY,
    arrival INTEGER UNIQUE,
    mode TEXT NOT NULL,
    structure TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX known_structures ON known (mode, structure, arrival);
CREATE TABLE seeds (
    number INTEGER PRIMARY KEY,
    program TEXT NOT NULL,
    input TEXT NOT NULL,
    output TEXT NOT NULL
) STRICT;
CREATE TABLE steps (
    step INTEGER PRIMARY KEY,
    added INTEGER NOT NULL,
    evicted INTEGER NOT NULL,
    kept INTEGER NOT NULL
) STRICT;
"""

TASK_COLUMNS = ("key", "mode", "program", "input", "output", "message", "visible", "hidden", "structure", "steps")
STORED_COLUMNS = (*TASK_COLUMNS, "id", "step", "image", "correct", "attempts", "tried")


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Result of one group of rollouts of a task."""

    step: int
    correct: int
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTask:
    """Task with its results in a run."""

    task: Task
    id: int
    """Order of arrival."""
    step: int
    """Step that brought it."""
    image: str
    """Digest of the sandbox images that validated it."""
    pass_rate: float | None
    """Mean over its groups of rollouts, in which a new group counts twice as much as the one before; None if it was never solved."""
    tried: int
    """Rollouts in all."""
    estimates: tuple[Estimate, ...] = ()
    """Every group, oldest first."""


def task_to_row(task: Task) -> tuple[str | int, ...]:
    """Values of `TASK_COLUMNS`."""
    visible, hidden = (json.dumps(pairs_to_json(pairs), ensure_ascii=False) for pairs in (task.visible, task.hidden))
    texts = (task.key, task.mode, task.program, task.input, task.output, task.message, visible, hidden, task.structure)
    return (*texts, task.length)


def stored_from_row(row: sqlite3.Row, estimates: tuple[Estimate, ...] = ()) -> StoredTask:
    """A row of `STORED_COLUMNS`."""
    task = Task(
        key=row["key"],
        mode=row["mode"],
        program=row["program"],
        input=row["input"],
        output=row["output"],
        message=row["message"],
        visible=pairs_from_json(json.loads(row["visible"]), "visible"),
        hidden=pairs_from_json(json.loads(row["hidden"]), "hidden"),
        structure=row["structure"],
        length=row["steps"],
    )
    return StoredTask(
        task=task,
        id=row["id"],
        step=row["step"],
        image=row["image"],
        pass_rate=row["correct"] / row["attempts"] if row["attempts"] else None,
        tried=row["tried"],
        estimates=estimates,
    )


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """Open an existing file. Raises CheckpointError if it is missing, damaged, or not of this kind and version."""
    if not path.is_file():
        raise CheckpointError(f"{path}: there is no task buffer here.")
    with guarded(path):
        mode = "ro" if read_only else "rw"
        connection = sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode={mode}", uri=True, isolation_level=None)
        try:
            _check_kind(connection, path)
            _configure(connection, read_only=read_only)
        except BaseException:
            connection.close()
            raise
    return connection


def create(path: Path) -> sqlite3.Connection:
    """A new, empty file. Raises RunError if something is there already."""
    if path.exists():
        raise RunError(f"{path} exists already; a run starts with a buffer of its own. Resume that run, or choose another folder.")
    with guarded(path):
        connection = sqlite3.connect(path, isolation_level=None)
        try:
            _configure(connection, read_only=False)
            header = f"PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {VERSION};"
            connection.executescript(f"BEGIN; {header} {TABLES} COMMIT;")
        except BaseException:
            connection.close()
            raise
    return connection


@contextmanager
def transaction(connection: sqlite3.Connection, path: Path) -> Iterator[None]:
    """All or nothing."""
    with guarded(path):
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


@contextmanager
def guarded(path: Path) -> Iterator[None]:
    """SQLite's errors as this package's."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise RunError(
            f"{path}: {error}. What was written before is whole: free space or end other writers, then resume."
        ) from error
    except sqlite3.DatabaseError as error:
        raise CheckpointError(f"{path} is damaged ({error}): restore it from a checkpoint with `--resume`.") from error


def _check_kind(connection: sqlite3.Connection, path: Path) -> None:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION:
        raise CheckpointError(f"{path} is a database, but no task buffer.")
    if version != VERSION:
        raise CheckpointError(f"{path} is a task buffer of format {version}; this version of tina-azr reads format {VERSION}.")


def _configure(connection: sqlite3.Connection, *, read_only: bool) -> None:
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA foreign_keys = ON")
    if not read_only:
        connection.execute("PRAGMA journal_mode = WAL")
        # A power cut may lose the last steps of a write-ahead log, never tear it; a run resumes from a checkpoint anyway.
        connection.execute("PRAGMA synchronous = NORMAL")
