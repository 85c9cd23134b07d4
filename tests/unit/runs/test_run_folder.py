"""A run's folder: made once, written by one process, found again."""

import fcntl
import os
import subprocess
import sys
import threading
from datetime import datetime
from pathlib import Path

import pytest

from tina_azr.config import Config, load_config
from tina_azr.errors import CheckpointError, RunError
from tina_azr.runs import folder as module
from tina_azr.runs.folder import RunFolder, config_digest, find_runs, new_run_path
from tina_azr.runs.status import RunState, RunStatus

HOLD_THE_LOCK = """
import sys, time
from pathlib import Path
from tina_azr.runs.folder import RunFolder
with RunFolder(Path(sys.argv[1])).locked():
    print("locked", flush=True)
    time.sleep(60)
"""


def test_config_beside_the_run_reads_back_equal(run: RunFolder, config: Config) -> None:
    assert load_config(run.config_file) == config


def test_an_existing_run_is_refused_and_the_message_names_resume(run: RunFolder, config: Config) -> None:
    with pytest.raises(RunError) as caught:
        RunFolder.create(run.path, config)
    assert f"{run.path} holds a run already (interrupted at step 0). Go on with it: tina-azr train --resume {run.path}" in str(
        caught.value
    )


def test_a_refused_run_keeps_its_files(run: RunFolder, config: Config) -> None:
    run.metrics_file.write_text("kept\n")
    with pytest.raises(RunError):
        RunFolder.create(run.path, config)
    assert run.metrics_file.read_text() == "kept\n"


def test_a_folder_with_something_else_in_it_is_refused(tmp_path: Path, config: Config) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(RunError, match="exists and is not empty"):
        RunFolder.create(tmp_path, config)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["thesis.tex"]


def test_an_empty_folder_is_taken(tmp_path: Path, config: Config) -> None:
    assert RunFolder.create(tmp_path, config).config_file.is_file()


def test_a_file_in_the_way_is_refused(tmp_path: Path, config: Config) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(RunError, match="is a file"):
        RunFolder.create(tmp_path / "run", config)


def test_opening_what_is_no_run_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"has no config\.yaml"):
        RunFolder.open(tmp_path)


def test_opening_nothing_says_so(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no run folder"):
        RunFolder.open(tmp_path / "absent")


def test_a_new_run_in_the_folder_of_one_that_is_written_to_is_not_told_to_resume_it(run: RunFolder) -> None:
    with run.locked(), pytest.raises(RunError, match=rf"Process {os.getpid()} writes to it: name another folder") as refused:
        RunFolder.refuse_existing(run.path)
    assert "--resume" not in str(refused.value)


def test_a_second_writer_is_refused_while_the_first_lives(run: RunFolder) -> None:
    with run.locked(), pytest.raises(RunError, match=f"in use by process {os.getpid()}"), run.locked():
        pass


def test_a_killed_writer_leaves_no_lock(run: RunFolder) -> None:
    process = subprocess.Popen([sys.executable, "-c", HOLD_THE_LOCK, str(run.path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == "locked\n"
        assert run.read_status().state is RunState.RUNNING
        with pytest.raises(RunError, match=f"in use by process {process.pid}"), run.locked():
            pass
        process.kill()
        process.wait()
    assert run.read_status().state is RunState.INTERRUPTED
    with run.locked():
        assert run.read_status().state is RunState.RUNNING


def test_looking_at_a_run_does_not_keep_its_writer_out(run: RunFolder) -> None:
    # Whoever asks whether a run is alive holds the lock for an instant.
    with run.locked():
        pass
    for _ in range(50):
        assert run.writer() is None
        with run.locked():
            pass


def test_a_damaged_status_says_that_it_may_be_deleted(run: RunFolder) -> None:
    run.status_file.write_text('{"format": 1, "state": "asleep"}')
    with pytest.raises(CheckpointError, match="only a summary: delete it"):
        run.read_status()


def test_status_survives_a_round_trip(run: RunFolder) -> None:
    status = run.read_status().changed(state=RunState.FAILED, step=7, seconds=1.5, message="why")
    run.write_status(status)
    read = RunStatus.read(run.status_file)
    assert read == status.changed(updated=read.updated)


def test_half_written_checkpoints_are_not_checkpoints(run: RunFolder) -> None:
    for name in ("step-10", "step-2", ".step-30.part", "aside-step-40", "step-x"):
        (run.checkpoints / name).mkdir()
    assert run.checkpoint_steps() == [2, 10]


def test_default_names_are_dated_and_never_taken_twice(tmp_path: Path) -> None:
    now = datetime(2026, 3, 4, 10, 12, 30)
    first = new_run_path(tmp_path, "Qwen/Qwen3-4B-Thinking-2507", now)
    assert first.name == "20260304-101230-Qwen3-4B-Thinking-2507"
    first.mkdir()
    assert new_run_path(tmp_path, "Qwen/Qwen3-4B-Thinking-2507", now).name == f"{first.name}-2"


def test_find_runs_passes_over_other_folders(run: RunFolder, config: Config) -> None:
    second = RunFolder.create(run.path.parent / "second", config)
    (run.path.parent / "notes").mkdir()
    assert [found.path for found in find_runs(run.path.parent)] == [run.path, second.path]


def test_the_digest_ignores_how_long_a_run_goes_and_nothing_else(config: Config) -> None:
    assert config_digest(config) == config_digest(load_config(overrides=["run.steps=999", "run.max_minutes=null"]))
    assert config_digest(config) != config_digest(load_config(overrides=["seed=1"]))
    assert config_digest(config) != config_digest(load_config(overrides=["learning.lr=0.001"]))


def test_a_writer_waits_for_a_reader_to_look_away(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOCK_PATIENCE_S", 60.0)  # a machine that stalls keeps the reader looking for longer
    with run.locked():
        pass
    reader = run.lock_file.open()
    fcntl.flock(reader, fcntl.LOCK_SH)
    with reader:
        timer = threading.Timer(0.1, lambda: fcntl.flock(reader, fcntl.LOCK_UN))
        timer.start()
        with run.locked():
            pass
        timer.join()
