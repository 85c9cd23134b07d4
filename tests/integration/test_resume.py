"""Tests that a killed, stopped and resumed run equals an uninterrupted one, with real processes and signals."""

import hashlib
import json
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tina_azr.runs.metrics import deterministic

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
    *("--set", "sandbox.wall_ms=600000"),  # a machine that stalls must not turn one outcome into another
)

# The run strikes itself: whoever watches from outside may see a step only when the next ones are over.
STRUCK = """
import os, sys
from tina_azr.cli.main import main
from tina_azr.runs.metrics_file import MetricsWriter

number, at = int(sys.argv[1]), int(sys.argv[2])
write = MetricsWriter.on_step

def on_step(self, metrics):
    write(self, metrics)
    if metrics.step == at:
        os.kill(os.getpid(), number)

MetricsWriter.on_step = on_step
sys.argv[1:] = sys.argv[3:]
main()
"""


def _run(*command: str) -> tuple[int, str]:
    process = subprocess.run([sys.executable, *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return process.returncode, process.stdout


def _train(*arguments: str) -> tuple[int, str]:
    return _run("-m", "tina_azr", "train", *arguments)


def _train_struck(number: signal.Signals, at: int, *arguments: str) -> tuple[int, str]:
    """Train, and send this signal to the own process once the metrics of step `at` are on file."""
    return _run("-c", STRUCK, str(number.value), str(at), "train", *arguments)


def _lines(run: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


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
    code, output = _train("--run-dir", str(run), *SMALL)
    assert code == 0, output
    return run


@pytest.fixture(scope="module")
def disturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Killed before its first checkpoint, resumed, killed between two checkpoints, resumed, stopped with Ctrl-C, resumed."""
    run = tmp_path_factory.mktemp("disturbed") / "run"
    code, output = _train_struck(signal.SIGKILL, 1, "--run-dir", str(run), *SMALL)
    assert code == -signal.SIGKILL, output
    code, output = _train_struck(signal.SIGKILL, 3, "--resume", str(run))
    assert code == -signal.SIGKILL, output

    code, output = _train_struck(signal.SIGINT, 4, "--resume", str(run))
    assert code == 130, output
    assert f"Resume with: tina-azr train --resume {run}" in output

    code, output = _train("--resume", str(run))
    assert code == 0, output
    return run


@pytest.mark.timeout(600)
def test_metrics_equal_those_of_an_uninterrupted_run(left_alone: Path, disturbed: Path) -> None:
    alone, again = ([deterministic(line) for line in _lines(run)] for run in (left_alone, disturbed))
    assert again == alone
    assert [line["step"] for line in alone if line["kind"] == "step"] == list(range(1, STEPS + 1))
    assert [line["step"] for line in alone if line["kind"] == "heldout"] == [0, 3, 6]


@pytest.mark.timeout(600)
def test_seconds_continue_after_a_resume(left_alone: Path, disturbed: Path) -> None:
    seconds = [line["seconds"] for line in _lines(disturbed)]
    assert seconds == sorted(seconds, key=float)  # type: ignore[arg-type]


@pytest.mark.timeout(600)
def test_weights_and_optimizer_are_bit_identical(left_alone: Path, disturbed: Path) -> None:
    last = f"checkpoints/step-{STEPS}"
    alone, again = (_digests(run / last, "**/*.safetensors") for run in (left_alone, disturbed))
    assert again == alone
    assert set(alone) == {"model/model.safetensors", "model/heads.safetensors", "optimizer.safetensors", "heads.safetensors"}


@pytest.mark.timeout(600)
def test_task_rows_are_identical(left_alone: Path, disturbed: Path) -> None:
    alone, again = (_tables(run / "tasks.sqlite") for run in (left_alone, disturbed))
    assert again == alone
    assert alone["tasks"]


@pytest.mark.timeout(600)
def test_rollouts_and_heldout_results_are_byte_identical(left_alone: Path, disturbed: Path) -> None:
    for pattern in ("rollouts/*.jsonl", "heldout/*.jsonl"):
        assert _digests(disturbed, pattern) == _digests(left_alone, pattern)


@pytest.mark.timeout(600)
def test_training_has_moved_the_weights(left_alone: Path) -> None:
    # Otherwise all of the above would hold for a loop that learns nothing.
    first, last = (_digests(left_alone / f"checkpoints/step-{step}", "model/*.safetensors") for step in (2, STEPS))
    assert first != last
