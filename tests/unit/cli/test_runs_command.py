"""Tests of `tina-azr runs` on run folders."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tina_azr.cli.main import cli
from tina_azr.config import load_config
from tina_azr.runs.folder import RunFolder
from tina_azr.runs.metrics import HeldoutCell, HeldoutMetrics
from tina_azr.runs.metrics_file import MetricsWriter
from tina_azr.runs.status import RunState

Runs = Callable[..., Result]


def _evaluation(step: int, accuracy: float) -> HeldoutMetrics:
    cell = HeldoutCell(n=576, accuracy=accuracy, stderr=0.02, accuracy_greedy=accuracy + 0.1, stderr_greedy=0.02, think_tokens=20.0)
    return HeldoutMetrics(step=step, seconds=60.0 * step, in_distribution=cell, by_mode={"deduction": cell}, by_stratum={1: cell})


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runs:
    """Call `tina-azr runs ...` in a folder with two runs."""
    monkeypatch.chdir(tmp_path)
    finished = RunFolder.create(Path("runs/finished"), load_config(overrides=["run.steps=60", "seed=3"]))
    for step, accuracy in ((0, 0.45), (60, 0.75)):
        MetricsWriter(finished).on_heldout(_evaluation(step, accuracy))
    finished.write_status(finished.read_status().changed(state=RunState.FINISHED, step=60, seconds=372.0))
    RunFolder.create(Path("runs/killed"), load_config())
    return lambda *arguments: CliRunner().invoke(cli, ["runs", *arguments], env={"COLUMNS": "80"})


def test_list_shows_the_state_of_each_run(runs: Runs) -> None:
    result = runs()
    assert result.exit_code == 0
    rows = [line.split() for line in result.output.splitlines()[1:]]
    assert rows == [
        ["finished", "finished", "60/60", "6:12", "45.0", ">", "75.0", "55.0", ">", "85.0"],
        ["killed", "interrupted", "0/60", "0:00", "-", "-"],
    ]


def test_json_has_start_and_end_accuracy(runs: Runs) -> None:
    finished, killed = json.loads(runs("--json").output)
    assert (finished["name"], finished["state"], finished["seed"]) == ("finished", "finished", 3)
    assert (finished["start"]["accuracy"], finished["end"]["accuracy"]) == (0.45, 0.75)
    assert (killed["state"], killed["end"]) == ("interrupted", None)


def test_single_evaluation_is_only_the_start(runs: Runs) -> None:
    MetricsWriter(RunFolder.open(Path("runs/killed"))).on_heldout(_evaluation(0, 0.523))
    _, killed = json.loads(runs("--json").output)
    assert (killed["start"]["accuracy"], killed["end"]) == (0.523, None)
    assert runs().output.splitlines()[2].split() == ["killed", "interrupted", "0/60", "0:00", "52.3", "62.3"]


@pytest.mark.parametrize("name", ["finished", "runs/finished"])
def test_one_run_is_shown_by_name_or_path(runs: Runs, name: str) -> None:
    output = runs(name).output
    assert "finished at step 60 of 60, model tiny, seed 3" in output
    assert "steps 1-3  45.0 ±2.0  75.0 ±2.0  +30.0 ±2.8" in output


def test_one_run_as_json_is_its_report(runs: Runs) -> None:
    report = json.loads(runs("finished", "--json").output)
    assert report["rows"][0]["label"] == "steps 1-3"
    assert report["checkpoints"] == []


def test_resumable_run_shows_its_resume_command(runs: Runs) -> None:
    assert "continue it with: tina-azr train --resume runs/killed" in runs("killed").output


def test_running_run_names_its_process_and_no_resume_command(runs: Runs) -> None:
    with RunFolder.open(Path("runs/killed")).locked():
        output = runs("killed").output
    assert "running at step 0 of 60" in output
    assert f"process {os.getpid()} is writing to it" in output
    assert "tina-azr train --resume" not in output


def test_run_of_another_version_is_shown(runs: Runs) -> None:
    with Path("runs/killed/config.yaml").open("a") as config:
        config.write("\nfuture: 1\n")
    result = runs("killed")
    assert result.exit_code == 0
    assert "this version cannot continue the run: runs/killed/config.yaml line" in result.output
    assert "unknown key `future`" in result.output


def test_two_runs_are_compared_at_their_ends(runs: Runs) -> None:
    other = RunFolder.create(Path("runs/other"), load_config())
    MetricsWriter(other).on_heldout(_evaluation(0, 0.65))
    result = runs("finished", "--against", "other")
    assert "other at step 0 against finished at step 60" in " ".join(result.output.split())
    assert "steps 1-3  65.0 ±2.0  75.0 ±2.0  +10.0 ±2.8" in result.output
    (row, *_) = json.loads(runs("finished", "--against", "other", "--json").output)
    assert row["change"]["value"] == pytest.approx(0.1)


def test_a_run_without_an_evaluation_cannot_be_compared(runs: Runs) -> None:
    result = runs("finished", "--against", "killed")
    assert result.exit_code == 1
    assert "has no held-out evaluation" in result.output


def test_one_damaged_run_does_not_hide_the_others(runs: Runs) -> None:
    Path("runs/killed/run.json").write_text("{")
    result = runs()
    assert result.exit_code == 0
    assert "unreadable" in result.output
    assert "45.0 > 75.0" in result.output


def test_no_runs_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(cli, ["runs"])
    assert result.exit_code == 0
    assert result.output == "no runs below runs/ yet; `tina-azr train` makes one.\n"


def test_a_folder_that_is_not_there_is_an_error(runs: Runs) -> None:
    result = runs("elsewhere")
    assert result.exit_code == 1
    assert result.output == "Error: no folder elsewhere, and no run of that name below ./runs.\n"
