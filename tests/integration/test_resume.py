"""A run that is killed, stopped and resumed has the metrics, weights and tasks of one that was left alone. Real processes, real signals."""

import hashlib
import json
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tina_azr.train.metrics import deterministic

STEPS = 6
SMALL = (
    *("--steps", str(STEPS)),
    *(
        "--set",
        "run.checkpoint_every=2",
        "--set",
        "run.keep_checkpoints=9",
        "--set",
        "run.max_minutes=null",
        "--set",
        "run.threads=1",
    ),
    *("--set", "selfplay.proposals_per_mode=3", "--set", "selfplay.group_size=2"),
    *("--set", "heldout.every=3", "--set", "heldout.per_cell=1"),
)
PATIENCE_S = 120.0


def _start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tina_azr", "train", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def _finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    output, _ = process.communicate(timeout=PATIENCE_S)
    return process.returncode, output


def _wait_until(process: subprocess.Popen[str], happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not happened():
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise AssertionError(f"the run ended before it could be stopped:\n{process.communicate()[0]}")
        time.sleep(0.02)


def _lines(run: Path) -> list[dict[str, object]]:
    path = run / "metrics.jsonl"
    text = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


def _steps_done(run: Path) -> int:
    return sum(line["kind"] == "step" for line in _lines(run))


def _tables(path: Path) -> dict[str, list[object]]:
    connection = sqlite3.connect(path)
    try:
        names = [name for (name,) in connection.execute("select name from sqlite_schema where type = 'table' order by name")]
        return {name: connection.execute(f"select * from {name} order by 1, 2").fetchall() for name in names}
    finally:
        connection.close()


def _digests(folder: Path, pattern: str) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.glob(pattern))
    }


@pytest.fixture(scope="module")
def left_alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("alone") / "run"
    code, output = _finish(_start("--run-dir", str(run), *SMALL))
    assert code == 0, output
    return run


@pytest.fixture(scope="module")
def disturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Killed before its first checkpoint, resumed, killed between two checkpoints, resumed, stopped with Ctrl-C, resumed."""
    run = tmp_path_factory.mktemp("disturbed") / "run"
    first = _start("--run-dir", str(run), *SMALL)
    _wait_until(first, lambda: _steps_done(run) == 1)
    first.send_signal(signal.SIGKILL)
    _finish(first)

    second = _start("--resume", str(run))
    _wait_until(second, lambda: _steps_done(run) == 3)
    second.send_signal(signal.SIGKILL)
    _finish(second)

    third = _start("--resume", str(run))
    _wait_until(third, lambda: _steps_done(run) == 4)
    third.send_signal(signal.SIGINT)
    code, output = _finish(third)
    assert code == 130, output
    assert f"Go on with: tina-azr train --resume {run}" in output

    code, output = _finish(_start("--resume", str(run)))
    assert code == 0, output
    return run


@pytest.mark.timeout(600)
def test_metrics_are_those_of_the_run_that_was_left_alone(left_alone: Path, disturbed: Path) -> None:
    alone, again = ([deterministic(line) for line in _lines(run)] for run in (left_alone, disturbed))
    assert again == alone
    assert [line["step"] for line in alone if line["kind"] == "step"] == list(range(1, STEPS + 1))
    assert [line["step"] for line in alone if line["kind"] == "heldout"] == [0, 3, 6]


@pytest.mark.timeout(600)
def test_seconds_go_on_where_they_were(left_alone: Path, disturbed: Path) -> None:
    seconds = [line["seconds"] for line in _lines(disturbed)]
    assert seconds == sorted(seconds, key=float)  # type: ignore[arg-type]


@pytest.mark.timeout(600)
def test_weights_and_optimizer_are_equal_to_the_bit(left_alone: Path, disturbed: Path) -> None:
    last = f"checkpoints/step-{STEPS}"
    alone, again = (_digests(run / last, "**/*.safetensors") for run in (left_alone, disturbed))
    assert again == alone
    assert set(alone) == {"model/model.safetensors", "model/heads.safetensors", "optimizer.safetensors", "heads.safetensors"}


@pytest.mark.timeout(600)
def test_tasks_are_equal_to_the_row(left_alone: Path, disturbed: Path) -> None:
    alone, again = (_tables(run / "tasks.sqlite") for run in (left_alone, disturbed))
    assert again == alone
    assert alone["tasks"]


@pytest.mark.timeout(600)
def test_rollouts_and_heldout_results_are_equal_to_the_byte(left_alone: Path, disturbed: Path) -> None:
    for pattern in ("rollouts/*.jsonl", "heldout/*.jsonl"):
        assert _digests(disturbed, pattern) == _digests(left_alone, pattern)


@pytest.mark.timeout(600)
def test_training_has_moved_the_weights(left_alone: Path) -> None:
    # Otherwise all of the above would hold for a loop that learns nothing.
    first, last = (_digests(left_alone / f"checkpoints/step-{step}", "model/*.safetensors") for step in (2, STEPS))
    assert first != last
