"""Frozen held-out set: tasks that no proposal and no training example may be."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from tina_azr.config import Config
from tina_azr.errors import ConfigError
from tina_azr.tasks.codec import heldout_from_json
from tina_azr.tasks.identity import task_key
from tina_azr.tasks.jsonl import read_jsonl
from tina_azr.tasks.modes import MODES
from tina_azr.tasks.types import HeldoutTask, Task

EMBEDDED_SETS = ("report", "choose")
"""Held-out sets in the package. No proposal may be a task of either, whichever one a run is evaluated on."""


def load_heldout_sets(config: Config) -> tuple[tuple[HeldoutTask, ...], frozenset[str]]:
    """Return the tasks to evaluate on, and the keys that no proposal may have."""
    embedded = {name: _embedded_heldout(name) for name in EMBEDDED_SETS}
    wanted = config.heldout.tasks
    chosen = embedded[wanted] if wanted in embedded else load_heldout(Path(wanted))
    return take_per_cell(chosen, config.heldout.per_cell), heldout_keys(chosen, *embedded.values())


def load_heldout(path: Path) -> tuple[HeldoutTask, ...]:
    """Read a held-out file: one task a line. Keys are computed again, so that they are those of this version. Raises ConfigError."""
    return read_jsonl(path, _with_key)


def heldout_keys(*sets: Iterable[HeldoutTask]) -> frozenset[str]:
    """Return the keys that no proposal may have."""
    return frozenset(held_out.task.key for one in sets for held_out in one)


def take_per_cell(tasks: Sequence[HeldoutTask], count: int) -> tuple[HeldoutTask, ...]:
    """Return the first `count` tasks of every mode and program length, in the order of the set."""
    taken: Counter[tuple[str, int]] = Counter()
    kept = []
    for held_out in tasks:
        cell = (held_out.task.mode, held_out.stratum)
        if taken[cell] < count:
            taken[cell] += 1
            kept.append(held_out)
    return tuple(kept)


def _embedded_heldout(name: str) -> tuple[HeldoutTask, ...]:
    with as_file(files("tina_azr").joinpath("assets", "tiny", f"heldout_{name}.jsonl")) as path:
        return load_heldout(path)


def _with_key(fields: Mapping[str, Any]) -> HeldoutTask:
    held_out = heldout_from_json(fields)
    task = held_out.task
    if task.mode not in MODES:
        raise ConfigError(f"there is no task mode `{task.mode}` (known: {', '.join(MODES)})")
    try:
        return replace(held_out, task=replace(task, key=task_key(task.mode, task.program, _inputs(task))))
    except SyntaxError as error:
        raise ConfigError(f"the program is not Python: {error.msg}") from error


def _inputs(task: Task) -> tuple[str, ...]:
    pairs = (*task.visible, *task.hidden)
    return tuple(pair.input for pair in pairs) if pairs else (task.input,)
