"""Tests of `tina-azr train` with a stand-in for the loop: choice of the run, recorded end, messages."""

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tina_azr.cli.main import cli
from tina_azr.cli.train import dry_run, session
from tina_azr.cli.train.plan import Plan, plan_new, plan_resume, resume_command
from tina_azr.config import Config, load_config
from tina_azr.errors import ConfigError, ModelError, RunError
from tina_azr.runs.checkpoint import Checkpoint
from tina_azr.runs.find import latest_run
from tina_azr.runs.folder import RunFolder
from tina_azr.runs.metrics import HeldoutCell, HeldoutMetrics, Listener
from tina_azr.runs.status import RunState
from tina_azr.train.trainer import EndReason, TrainingEnd

Train = Callable[..., Result]


def _evaluation(step: int, accuracy: float) -> HeldoutMetrics:
    cell = HeldoutCell(n=576, accuracy=accuracy, stderr=0.02, accuracy_greedy=accuracy, stderr_greedy=0.02, think_tokens=20.0)
    return HeldoutMetrics(step=step, seconds=1.0, in_distribution=cell, by_mode={"deduction": cell}, by_stratum={1: cell})


class Loop:
    """Trainer double that evaluates twice and ends in the given way."""

    ending: EndReason | BaseException = EndReason.STEPS
    heldout_seconds = 6.0

    def __init__(
        self, config: Config, run: RunFolder, listeners: Sequence[Listener], *, checkpoint: Checkpoint | None = None
    ) -> None:
        self._run, self._listeners = run, listeners
        if isinstance(self.ending, ModelError):
            raise self.ending

    def run(self) -> TrainingEnd:
        for listener in self._listeners:
            listener.on_heldout(_evaluation(0, 0.45))
            listener.on_heldout(_evaluation(5, 0.75))
        if isinstance(self.ending, BaseException):
            raise self.ending
        return TrainingEnd(
            reason=self.ending, step=5, seconds=33.0, checkpoint=self._run.checkpoint(5), heldout_seconds=self.heldout_seconds
        )


@pytest.fixture
def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Train:
    """Call `tina-azr train ...` in an empty folder, with a loop that ends in the given way."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(session, "Trainer", Loop)

    def train(*arguments: str, ending: EndReason | BaseException = EndReason.STEPS) -> Result:
        monkeypatch.setattr(Loop, "ending", ending)
        return CliRunner().invoke(cli, ["train", *arguments])

    return train


def _status(run: str = "runs/first") -> tuple[RunState, str]:
    status = RunFolder.open(Path(run)).read_status()
    return status.state, status.message


def test_start_message_has_three_lines(train: Train) -> None:
    result = train("--name", "first", "--seed", "3")
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[:3] == [
        "tiny proposes small programs as tasks; the sandbox checks them; it solves them and learns from the outcome.",
        "60 steps or 15 minutes, whichever comes first, seed 3; accuracy on held-out tasks every 10 steps.",
        "Everything goes to runs/first/. Ctrl-C saves and shows how to resume.",
    ]


def test_end_message_compares_start_and_end(train: Train) -> None:
    output = train("--name", "first").output
    assert "steps 1-3  45.0 ±2.0  75.0 ±2.0  +30.0 ±2.8" in output
    assert _status() == (RunState.FINISHED, "")
    assert sorted(path.name for path in Path("runs/first").glob("*.*")) == [
        *("config.yaml", "metrics.jsonl", "report.json", "report.md", "run.json"),
    ]
    assert [path.name for path in Path("runs/first/plots").iterdir()]


def test_flags_are_the_settings_that_they_name(train: Train) -> None:
    train("--name", "first", "--steps", "7", "--minutes", "2.5", "--seed", "9", "--set", "run.steps=8")
    config = load_config(Path("runs/first/config.yaml"))
    assert (config.run.steps, config.run.max_minutes, config.seed) == (7, 2.5, 9)


def test_minutes_may_be_whole(train: Train) -> None:
    assert train("--name", "first", "--minutes", "2").exit_code == 0


def test_ctrl_c_prints_the_resume_command_and_exits_with_130(train: Train) -> None:
    result = train("--name", "first", ending=EndReason.STOPPED)
    assert result.exit_code == 130
    assert result.output.splitlines()[-1] == "Stopped after step 5; saved. Resume with: tina-azr train --resume runs/first"
    assert _status()[0] is RunState.INTERRUPTED


def test_second_ctrl_c_names_the_checkpoint_to_resume_from(train: Train) -> None:
    result = train("--name", "first", ending=KeyboardInterrupt())
    assert result.exit_code == 130
    assert result.output.splitlines()[-1] == (
        "Stopped at once, without saving. To resume from the beginning, because there is no checkpoint yet: "
        "tina-azr train --resume runs/first"
    )
    assert _status()[0] is RunState.INTERRUPTED


def test_time_limit_prints_how_to_continue(train: Train) -> None:
    output = train("--name", "first", ending=EndReason.TIME).output
    assert output.splitlines()[-1] == (
        "The time was over at step 5 of 60. Go further with: tina-azr train --resume runs/first --minutes 30"
    )


def test_time_spent_in_evaluations_is_reported(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Loop, "heldout_seconds", 31.0)
    output = train("--name", "first", "--minutes", "1", ending=EndReason.TIME).output
    why = (
        "The time was over at step 5 of 60. One held-out evaluation takes 0:31, the run may last 1:00, and time for the last "
        "evaluation is kept free: give it more minutes (--minutes), or start a new run with fewer held-out tasks "
        "(--set heldout.per_cell=N; here 64)."
    )
    command = "tina-azr train --resume runs/first --minutes 2"
    assert output.splitlines()[-1] == f"{why} Go further with: {command}"
    assert _status() == (RunState.FINISHED, why)
    shown = CliRunner().invoke(cli, ["runs", "first"]).output
    assert shown.splitlines()[-1] == f"continue it with: {command}"


def test_suggested_minutes_exceed_those_used(tmp_path: Path) -> None:
    # An evaluation is not cut short: it may take longer than the run was given.
    config = load_config(overrides=["run.max_minutes=1"])
    assert resume_command(RunFolder(tmp_path), config, 290.0, time_over=True).endswith(" --minutes 10")


def test_an_error_is_recorded_with_the_run(train: Train) -> None:
    result = train("--name", "first", ending=RunError("the sandbox is out of breath"))
    assert result.exit_code == 1
    assert result.output.splitlines()[-1] == "Error: the sandbox is out of breath"
    assert _status() == (RunState.FAILED, "the sandbox is out of breath")


def test_bug_is_recorded_and_keeps_its_traceback(train: Train) -> None:
    result = train("--name", "first", ending=ZeroDivisionError())
    assert isinstance(result.exception, ZeroDivisionError)
    assert _status()[0] is RunState.FAILED


def test_run_without_any_step_leaves_no_folder(train: Train) -> None:
    result = train("--name", "first", ending=ModelError("no such model"))
    assert result.exit_code == 1
    assert not Path("runs/first").exists()


def test_only_json_is_on_standard_output(train: Train) -> None:
    report = json.loads(train("--name", "first", "--json").stdout)
    assert report["rows"][0]["label"] == "steps 1-3"
    assert report["status"]["state"] == "finished"


def test_interrupted_run_resumes_with_its_configuration(train: Train) -> None:
    train("--name", "first", "--set", "learning.lr=1e-4", ending=EndReason.STOPPED)
    result = train("--resume", "first", "--steps", "80")
    assert result.exit_code == 0, result.output
    config = load_config(Path("runs/first/config.yaml"))
    assert (config.learning.lr, config.run.steps) == (1e-4, 80)
    assert _status()[0] is RunState.FINISHED


def test_a_checkpoint_of_step_0_is_a_checkpoint(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    train("--name", "first", ending=EndReason.STOPPED)
    before = Checkpoint(path=Path("runs/first/checkpoints/step-0"), step=0, seconds=3.0, config_digest="", learner_state={})
    for found, said in (
        (before, "Resuming from the checkpoint of step 0."),
        (None, "No checkpoint yet: starting from the beginning."),
    ):
        monkeypatch.setattr(session, "rewind", lambda run, config, step, found=found: found)
        output = train("--resume", "first", ending=EndReason.STOPPED).output
        assert output.splitlines()[1].endswith(f"every 10 steps. {said}")


def test_dry_run_checks_the_requested_checkpoint(tmp_path: Path) -> None:
    for step in (0, 10):
        (tmp_path / "checkpoints" / f"step-{step}").mkdir(parents=True)
    for asked, looked_at in ((0, 0), (10, 10), (None, 10)):
        plan = Plan(path=tmp_path, config=load_config(), resume=True, from_step=asked)
        assert dry_run._model_folder(plan) == tmp_path / "checkpoints" / f"step-{looked_at}" / "model"


def test_dry_run_prints_settings_in_input_form() -> None:
    config = load_config(overrides=["run.max_minutes=null", "introspection.heads=[]", "tasks.modes=[deduction]"])
    said = list(dry_run._changes(config))
    assert "run.max_minutes = null (default 15.0)" in said
    assert "introspection.heads = [] (default [tap])" in said
    assert "tasks.modes = [deduction] (default [deduction, abduction, induction])" in said
    assert load_config(overrides=[line.partition(" (default")[0].replace(" = ", "=") for line in said]) == config


def test_goal_with_steps_only_names_no_minutes(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run", load_config(overrides=["run.steps=1", "run.max_minutes=null"]))
    run.write_status(run.read_status().changed(state=RunState.FINISHED, step=1))
    with pytest.raises(RunError, match=r"has reached its goal of 1 step\. To train"):
        plan_resume(str(run.path), (), path=None, from_step=None)


@pytest.mark.parametrize("state", [RunState.FINISHED, RunState.INTERRUPTED])
def test_goal_below_the_current_step_is_refused(tmp_path: Path, state: RunState) -> None:
    run = RunFolder.create(tmp_path / "run", load_config(overrides=["run.steps=4"]))
    run.write_status(run.read_status().changed(state=state, step=2))
    for steps in (1, 2):
        with pytest.raises(RunError, match=rf"nothing is left to do of {steps} steps?\. Give more than 2"):
            plan_resume(str(run.path), (f"run.steps={steps}",), path=None, from_step=None)
    assert plan_resume(str(run.path), ("run.steps=3",), path=None, from_step=None).config.run.steps == 3
    assert plan_resume(str(run.path), ("run.steps=2",), path=None, from_step=1).from_step == 1


def test_a_bare_resume_takes_the_run_that_was_last_written_to(train: Train) -> None:
    for name in ("second", "first"):
        train("--name", name, ending=EndReason.STOPPED)
    assert latest_run().name == "first"
    assert plan_resume("latest", (), path=None, from_step=None).path == Path("runs/first")


def test_two_runs_in_one_second_get_different_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    first = plan_new(None, (), path=None)
    RunFolder.create(first.path, first.config)
    assert plan_new(None, (), path=None).path != first.path
    assert first.path.name.endswith("-tiny")


def test_a_resume_may_not_name_two_runs(train: Train) -> None:
    train("--name", "first", ending=EndReason.STOPPED)
    with pytest.raises(ConfigError, match="name a run each"):
        plan_resume("runs/first", (), path=Path("runs/other"), from_step=None)


def test_wrong_flag_is_refused_without_importing_torch(tmp_path: Path) -> None:
    script = (
        "import sys\nfrom tina_azr.cli.main import cli\n"
        "try:\n    cli(['train', '--set', 'run.steps=x'])\n"
        "except SystemExit as end:\n    print(end.code, 'torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "2 False\n"
