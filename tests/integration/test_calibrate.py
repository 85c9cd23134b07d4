"""Tests of `tina-azr calibrate` on a real run."""

import errno
import json
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tina_azr.cli.main import cli
from tina_azr.config import load_config
from tina_azr.engine.loading import open_engine
from tina_azr.engine.types import GenerationRequest, Message
from tina_azr.errors import ScoreError
from tina_azr.introspection.calibration import CALIBRATION, Calibration
from tina_azr.introspection.heads import HeadShape, build_heads
from tina_azr.introspection.heads_file import HeadFacts, save_all_heads
from tina_azr.introspection.scores import Interval
from tina_azr.model.loading import load_policy
from tina_azr.runs.checkpoint import read_checkpoint
from tina_azr.runs.folder import RunFolder
from tina_azr.sandbox.opening import open_sandbox
from tina_azr.selfplay.solving import solver_prompt
from tina_azr.tasks.validation import Validator
from tina_azr.train.calibration import session
from tina_azr.train.calibration.session import CalibrationOptions, CalibrationReport, _Fitted, _split
from tina_azr.train.heads.learner import HeadRecipe

SETTINGS = (
    "selfplay.proposals_per_mode=8",
    "selfplay.group_size=4",
    "introspection.chained_share=1",
    "heldout.per_cell=1",
    "run.threads=1",
)


@pytest.fixture(scope="module", autouse=True)
def _quick_heads() -> Iterator[None]:
    # Heads that have learned a little after so few tasks.
    recipe = HeadRecipe(updates_per_step=150, averaging=0.9)
    with pytest.MonkeyPatch.context() as patch:
        for module in ("learner", "refit"):
            patch.setattr(f"tina_azr.train.heads.{module}.RECIPE", recipe)
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three steps of self-play."""
    folder = tmp_path_factory.mktemp("calibrate") / "run"
    flags = [flag for setting in SETTINGS for flag in ("--set", setting)]
    done = CliRunner().invoke(cli, ["train", "--steps", "3", "--run-dir", str(folder), *flags])
    assert done.exit_code == 0, done.output
    return folder


def calibrate(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(cli, ["calibrate", *arguments])
    return done.exit_code, done.output


@pytest.mark.timeout(1_500)
def test_calibration_is_written_to_the_policy_and_used(run: Path) -> None:
    code, output = calibrate(
        str(run), "--on", "choose", "--tasks", "180", "--samples", "2", "--heldout", "1", "--threads", "1", "--json"
    )
    assert code == 0, output
    report = json.loads(output[output.index("{") :])
    assert report["tasks"] == 180
    assert set(report["scores"]) >= {"held-out set, calibrated"}
    assert Path(report["picture"]).read_bytes()[:4] == b"\x89PNG"
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # heads, calibration and policy belong together
        engine = open_engine(str(run))
    assert engine.calibration_digest == report["digest"]
    message = Message(role="user", content="Predict the output.\n```python\ndef f(x):\n    return x + 1\n```\n```input\n4\n```\n")
    ((answer,),) = engine.generate([GenerationRequest(messages=(message,))])
    assert answer.forecast is not None
    assert answer.calibration_digest == report["digest"]
    assert read_checkpoint(run / "checkpoints" / "step-3").step == 3


def test_too_few_tasks_is_an_error(run: Path) -> None:
    code, output = calibrate(str(run), "--samples", "2", "--heldout", "0", "--threads", "1")
    assert code == 1
    assert "too few" in output
    assert "Train the run longer, or use --on choose" in output


def test_too_few_labels_error_names_the_option(run: Path) -> None:
    code, output = calibrate(str(run), "--on", "choose", "--tasks", "60", "--samples", "2", "--heldout", "0", "--threads", "1")
    assert code == 1
    assert "60 labels are too few to fit this: at least 100 are needed. Take more (--tasks N)" in output
    assert "--on choose" not in output


def test_failed_calibration_changes_nothing(run: Path) -> None:
    before = {path: path.read_bytes() for path in (run / "checkpoints" / "step-3").rglob("*") if path.is_file()}
    code, output = calibrate(str(run), "--refit", "--samples", "2", "--heldout", "0", "--threads", "1")
    assert code == 1, output
    assert {path: path.read_bytes() for path in (run / "checkpoints" / "step-3").rglob("*") if path.is_file()} == before


def test_partial_write_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shape = HeadShape(kind="linear", taps=(1,), hidden_size=8)
    old, new = ({"linear": build_heads(shape, seed=seed)} for seed in (0, 1))
    facts = HeadFacts(policy_digest="", labels=10, step=3)
    save_all_heads(old, facts, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    unused: Any = None
    fitted = _Fitted(name="linear", calibration=Calibration.identity(), raw=unused, before=unused, after=unused)

    def full(fitted: _Fitted, path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(session, "_draw", full)
    with pytest.raises(OSError, match="No space left"):
        session._keep(fitted, tmp_path, new, facts)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    monkeypatch.setattr(session, "_draw", lambda fitted, path: path.write_bytes(b"a picture"))
    session._keep(fitted, tmp_path, new, facts)
    assert {path.name for path in tmp_path.iterdir()} == {*before, CALIBRATION, "calibration.png"}
    assert (tmp_path / "heads.safetensors").read_bytes() != before["heads.safetensors"]


def test_running_run_is_not_changed(run: Path) -> None:
    with RunFolder.open(run).locked():
        code, output = calibrate(str(run))
    assert code == 1
    assert "in use by process" in output


@pytest.mark.parametrize(("longest", "some"), [(176, True), (16, False)])
def test_chained_tasks_have_prompts_as_long_as_the_runs_own(run: Path, longest: int, some: bool) -> None:
    folder = RunFolder.open(run)
    config = load_config(folder.config_file, [f"tasks.max_prompt_tokens={longest}", "introspection.calibration_share=0.5"])
    options = CalibrationOptions(
        model=None, refit=False, method="platt", source="run", most=50, samples=2, heldout=0, seed=0, threads=1, out=None
    )
    policy = load_policy("tiny")
    with open_sandbox(config.sandbox) as sandbox:
        kept, _, title = _split(folder, config, policy, Validator(sandbox, config.tasks), options)
    beyond = int(title.split(", ")[1].split()[0])
    assert (beyond > 0) == some
    assert all(len(solver_prompt(policy, task)) <= longest for task in kept[len(kept) - beyond :])


@pytest.mark.parametrize("refitted", [False, True])
def test_a_fit_that_fails_names_flags_that_may_help(refitted: bool) -> None:
    with pytest.raises(ScoreError) as said, session._ways_out(refitted=refitted):
        raise ScoreError("no slope helps")
    assert str(said.value).startswith("no slope helps. What may help: more labels (--tasks N, --samples N), ")
    assert ("--refit" in str(said.value)) is not refitted


def test_progress_is_shown_only_at_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with session._progress() as bar, session._task(bar, "label") as advance:
        advance(1, 2)
    assert capsys.readouterr() == ("", "")


def test_undetermined_figures_are_null_in_json() -> None:
    undecided = Interval(value=float("nan"), low=float("nan"), high=float("nan"), n=8)
    report = CalibrationReport(
        path=Path("a"), picture=Path("b"), digest="c", tasks=8, sections={"labels": {"tap": {"c0_auroc": undecided}}}
    )
    said = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert said["scores"]["labels"]["tap"]["c0_auroc"] == {"value": None, "low": None, "high": None, "n": 8}


def test_fit_and_report_never_share_tasks(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    config = copy / "config.yaml"
    config.write_text(config.read_text().replace("tasks: report", "tasks: choose"))
    code, output = calibrate(str(copy), "--on", "choose")
    assert code == 2
    assert "--heldout 0" in output


def test_refit_without_tasks_is_an_error(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    config = copy / "config.yaml"
    config.write_text(config.read_text().replace("calibration_share: 0.1", "calibration_share: 0.999999"))
    code, output = calibrate(str(copy), "--on", "choose", "--tasks", "180", "--refit", "--threads", "1")
    assert code == 1
    assert "nothing to refit heads on" in output


def test_another_policy_needs_an_output_folder(run: Path) -> None:
    code, output = calibrate(str(run), "--model", "tiny", "--refit")
    assert code == 2
    assert "--out" in output
