"""`runs/<name>/`: where everything of one run lies, who may write to it, and what state it is in.

    config.yaml             the resolved configuration
    config.previous.yaml    the same as an earlier release wrote it, if this release resumed that run
    run.json                state and progress, for `tina-azr runs`
    lock                    held while a process writes here
    metrics.jsonl           one line a step and one a held-out evaluation
    tasks.sqlite            the task buffer
    heldout/step-N.jsonl    held-out results, task by task
    rollouts/step-N.jsonl   what was proposed and tried
    checkpoints/step-N/     what a resume starts from
    plots/*.png, report.md, report.json   written at the end

The lock is the kernel's (`flock`): it goes with its process, so a killed run leaves nothing to clean up. `run.json` may therefore
say "running" of a run that was killed: `state()` asks the lock as well.
"""

import fcntl
import hashlib
import json
import os
import re
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from safetensors import SafetensorError

from tina_azr.config import Config, Flag, downgrade, dump_config, is_old, load_config, read_values
from tina_azr.errors import RunError
from tina_azr.runs.files import is_full_disk, write_text
from tina_azr.runs.status import RunState, RunStatus

_LOCK_PATIENCE_S = 0.5
_STEP = re.compile(r"step-(\d+)")


@dataclass(frozen=True, slots=True)
class RunFolder:
    """One run's folder. Use `create` for a new run and `open` for one that exists."""

    path: Path

    @classmethod
    def create(cls, path: Path, config: Config) -> "RunFolder":
        """Make the folder and write its configuration. An existing run, or a folder with anything in it, is refused."""
        cls.refuse_existing(path)
        run = cls(path)
        with run.writing("the new run folder"):
            path.mkdir(parents=True, exist_ok=True)
            for folder in (run.checkpoints, run.rollouts, run.heldout):
                folder.mkdir(exist_ok=True)
            write_text(run.config_file, dump_config(config))
            run.write_status(RunStatus.new(config))
        return run

    @classmethod
    def refuse_existing(cls, path: Path) -> None:
        """Raise RunError unless a new run can go to `path`."""
        run = cls(path)
        if path.is_dir() and any(path.iterdir()):
            if run.config_file.exists():
                writer = run.writer()
                go_on = (
                    f"Go on with it: tina-azr train --resume {path}; or" if writer is None else f"Process {writer} writes to it:"
                )
                raise RunError(
                    f"{path} holds a run already ({run.describe()}). {go_on} name another folder with --run-dir or --name."
                )
            raise RunError(f"{path} exists and is not empty, and no run of tina-azr: name another folder with --run-dir or --name.")
        if path.exists() and not path.is_dir():
            raise RunError(f"{path} is a file, a run needs a folder: name another with --run-dir or --name.")

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """A run that exists."""
        run = cls(path)
        if not path.is_dir():
            raise RunError(f"no run folder {path}: `tina-azr runs` lists those below ./runs.")
        if not run.config_file.is_file():
            raise RunError(f"{path} is no run of tina-azr: it has no config.yaml. `tina-azr runs` lists those below ./runs.")
        return run

    def read_config(self, overrides: Sequence[str | Flag] = ()) -> Config:
        """Load the run's own configuration, translated if an earlier release wrote it. Raises ConfigError."""
        return load_config(self.config_file, overrides, translate=True)

    def is_digest_of(self, digest: str, config: Config) -> bool:
        """Return whether a checkpoint's digest is that of `config`, as this release or the previous one computes it."""
        if digest == config_digest(config):
            return True
        written = read_values(self.previous_config_file if self.previous_config_file.exists() else self.config_file)
        return digest == _digest(downgrade(config.model_dump(mode="json"), written))

    def write_config(self, config: Config) -> None:
        """Replace `config.yaml`. The file of an earlier release is kept, because `is_digest_of` needs it at the next resume."""
        if is_old(read_values(self.config_file)):
            write_text(self.previous_config_file, self.config_file.read_text(encoding="utf-8"))
        write_text(self.config_file, dump_config(config))

    @property
    def name(self) -> str:
        return self.path.resolve().name

    @property
    def config_file(self) -> Path:
        return self.path / "config.yaml"

    @property
    def previous_config_file(self) -> Path:
        return self.path / "config.previous.yaml"

    @property
    def status_file(self) -> Path:
        return self.path / "run.json"

    @property
    def metrics_file(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def tasks_file(self) -> Path:
        return self.path / "tasks.sqlite"

    @property
    def heldout(self) -> Path:
        return self.path / "heldout"

    @property
    def rollouts(self) -> Path:
        return self.path / "rollouts"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def plots(self) -> Path:
        return self.path / "plots"

    @property
    def lock_file(self) -> Path:
        return self.path / "lock"

    def checkpoint(self, step: int) -> Path:
        """Folder of one checkpoint, whether it exists or not."""
        return self.checkpoints / f"step-{step}"

    def checkpoint_steps(self) -> list[int]:
        """Steps of the complete checkpoints, oldest first. A half-written one has another name and is not among them."""
        return numbered(self.checkpoints, "")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Be the only writer, or raise RunError."""
        with self.lock_file.open("a+", encoding="utf-8") as file:
            if not _try_lock(file, fcntl.LOCK_EX, patience_s=_LOCK_PATIENCE_S):
                file.seek(0)
                raise RunError(
                    f"{self.path} is in use by process {_process(file)}: two writers would ruin it. Wait, or stop that run first."
                )
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield

    def writer(self) -> str | None:
        """Id of the living process that writes to this run; `(unknown)` where the lock does not tell yet, None where there is none."""
        if not self.lock_file.exists():
            return None
        with self.lock_file.open(encoding="utf-8") as file:
            return None if _try_lock(file, fcntl.LOCK_SH, patience_s=0.0) else _process(file)

    def read_status(self) -> RunStatus:
        """What `run.json` says; "running" of a dead process is read as "interrupted"."""
        status = RunStatus.read(self.status_file)
        if status.state is RunState.RUNNING and self.writer() is None:
            return status.changed(state=RunState.INTERRUPTED)
        return status

    def write_status(self, status: RunStatus) -> None:
        """Replace `run.json`. Not synced: it is a summary, and a step must not wait for the disk."""
        write_text(self.status_file, json.dumps(status.now().to_json(), indent=2) + "\n", synced=False)

    def remove_if_unused(self) -> None:
        """Take back a folder in which nothing happened: no metrics, no checkpoint, no rollout. Anything else stays untouched."""
        happened = (self.metrics_file, self.plots, *self.checkpoints.glob("*"), *self.rollouts.glob("*"), *self.heldout.glob("*"))
        if any(path.exists() for path in happened):
            return
        ours = (self.config_file, self.status_file, self.lock_file, *self.path.glob("tasks.sqlite*"))
        for path in ours:
            path.unlink(missing_ok=True)
        for folder in (self.checkpoints, self.rollouts, self.heldout, self.path):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()

    def describe(self) -> str:
        """State and step in a few words."""
        if not self.status_file.exists():
            return "its run.json is missing"
        status = self.read_status()
        return f"{status.state.value} at step {status.step}"

    @contextmanager
    def writing(self, what: str) -> Iterator[None]:
        """Name what was being written, and what is safe, when the disk is full."""
        try:
            yield
        except (OSError, SafetensorError, sqlite3.OperationalError) as error:
            if not is_full_disk(error):
                raise
            raise self.full_disk(what) from error

    def full_disk(self, what: str) -> RunError:
        """The error to raise for a full disk: what was kept and how to go on."""
        steps = self.checkpoint_steps()
        kept = f"checkpoint step-{steps[-1]} is whole and kept" if steps else "no checkpoint had been written yet"
        command = f"tina-azr train --resume {self.path}" if self.config_file.exists() else "start the run again"
        return RunError(f"the disk is full: could not write {what} in {self.path}; {kept}. Free some space, then: {command}")


def numbered(folder: Path, suffix: str) -> list[int]:
    """The N of every `step-N<suffix>` in a folder, ascending."""
    if not folder.is_dir():
        return []
    names = (entry.name for entry in folder.iterdir())
    matches = (_STEP.fullmatch(name.removesuffix(suffix)) for name in names if name.endswith(suffix))
    return sorted(int(match[1]) for match in matches if match)


def config_digest(config: Config) -> str:
    """SHA-256 of everything in a configuration that changes the numbers: all but `run` (how long, how often saved) and `serve`."""
    return _digest(config.model_dump(mode="json"))


def _digest(values: dict[str, Any]) -> str:
    values = {name: value for name, value in values.items() if name not in ("run", "serve")}
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def new_run_path(parent: Path, model: str, now: datetime) -> Path:
    """`<date>-<time>-<model>` below `parent`, with a number behind it if that exists."""
    slug = re.sub(r"[^A-Za-z0-9.]+", "-", Path(model).name).strip("-.") or "model"
    base = parent / f"{now:%Y%m%d-%H%M%S}-{slug}"
    path, count = base, 1
    while path.exists():
        count += 1
        path = base.with_name(f"{base.name}-{count}")
    return path


def find_runs(parent: Path) -> list[RunFolder]:
    """Every run directly below `parent`, by name (default names sort by date)."""
    if not parent.is_dir():
        return []
    entries = sorted(entry for entry in parent.iterdir() if (entry / "config.yaml").is_file())
    return [RunFolder(entry) for entry in entries if (entry / "run.json").is_file()]


def _process(file: IO[str]) -> str:
    return file.read().strip() or "(unknown)"


def _try_lock(file: IO[str], kind: int, *, patience_s: float) -> bool:
    # A reader that asks whether a run is alive holds the lock for an instant: a writer does not give up at the first try.
    deadline = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.02)
        else:
            return True
