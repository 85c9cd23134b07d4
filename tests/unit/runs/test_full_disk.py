"""A disk that fills up: named, with what is safe and how to go on. The file layer is made to fail; a real small disk is tried by hand."""

import errno
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors import SafetensorError

from tina_azr.errors import RunError
from tina_azr.runs.files import is_full_disk, write_text
from tina_azr.runs.folder import RunFolder
from tina_azr.runs.metrics import StepMetrics
from tina_azr.runs.metrics_file import MetricsWriter


def _no_space(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _sqlite_full() -> sqlite3.OperationalError:
    """The real error of a database that may not grow."""
    connection = sqlite3.connect(":memory:")
    connection.execute("pragma max_page_count = 2")
    try:
        connection.execute("create table t (x)")
        connection.execute("insert into t values (zeroblob(100000))")
    except sqlite3.OperationalError as error:
        return error
    finally:
        connection.close()
    raise AssertionError("the database grew beyond its limit")


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        _sqlite_full(),
        SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
    ],
    ids=["device", "quota", "sqlite", "safetensors"],
)
def test_a_full_disk_is_recognised_whoever_meets_it(error: BaseException) -> None:
    assert is_full_disk(error)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EACCES, "Permission denied"),
        sqlite3.OperationalError("database is locked"),
        SafetensorError("invalid header"),
        ValueError("28"),
    ],
    ids=["permission", "locked", "header", "other"],
)
def test_other_failures_are_not_taken_for_a_full_disk(error: BaseException) -> None:
    assert not is_full_disk(error)


def test_a_failed_write_leaves_the_old_content_and_no_leftover(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file.txt"
    write_text(path, "old")
    monkeypatch.setattr(os, "fsync", _no_space)
    with pytest.raises(OSError, match="No space left"):
        write_text(path, "new")
    assert [entry.name for entry in tmp_path.iterdir()] == ["file.txt"]
    assert path.read_text() == "old"


def test_the_message_says_what_is_kept_and_how_to_go_on(run: RunFolder) -> None:
    run.checkpoint(10).mkdir()
    with pytest.raises(RunError) as caught, run.writing("metrics.jsonl"):
        _no_space()
    assert str(caught.value) == (
        f"the disk is full: could not write metrics.jsonl in {run.path}; checkpoint step-10 is whole and kept. "
        f"Free some space, then: tina-azr train --resume {run.path}"
    )


def test_other_errors_pass_unchanged(run: RunFolder) -> None:
    with pytest.raises(PermissionError), run.writing("metrics.jsonl"):
        raise PermissionError(errno.EACCES, "Permission denied")


def test_metrics_on_a_device_that_is_always_full(run: RunFolder, step_metrics: Callable[..., StepMetrics]) -> None:
    run.metrics_file.symlink_to("/dev/full")  # the kernel's own full device
    with pytest.raises(RunError, match=r"could not write metrics\.jsonl"):
        MetricsWriter(run).on_step(step_metrics(1))
