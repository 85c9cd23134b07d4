"""A run of the previous release (`tests/fixtures/previous_release`) resumes, serves, calibrates and compares in this one."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tina_azr.cli.main import cli
from tina_azr.config import load_config, read_values
from tina_azr.config.renamed import MERGED, REMOVED, RENAMED
from tina_azr.errors import CheckpointError, ConfigError
from tina_azr.runs.folder import RunFolder, config_digest
from tina_azr.runs.metrics import deterministic
from tina_azr.runs.metrics_file import read_metrics
from tina_azr.runs.resume import rewind
from tina_azr.tasks.queries import TaskFilter, list_tasks

FIXTURE = Path(__file__).parents[1] / "fixtures" / "previous_release"


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the old run as `runs/previous` below the working directory."""
    shutil.copytree(FIXTURE / "run", tmp_path / "runs" / "previous")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "runs" / "previous"


def call(*arguments: str) -> Result:
    result = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


def test_it_resumes_with_the_numbers_that_the_previous_release_gave(old: Path) -> None:
    call("train", "--resume", "previous", "--steps", "6")
    lines = [deterministic(json.loads(line)) for line in (old / "metrics.jsonl").read_text().splitlines()]
    expected = [json.loads(line) for line in (FIXTURE / "resumed_metrics.jsonl").read_text().splitlines()]
    assert [line for line in lines if line["step"] > 4] == expected  # type: ignore[operator]
    # The next resume reads a config.yaml in the new form beside a checkpoint with the old digest.
    assert rewind(RunFolder.open(old), RunFolder.open(old).read_config(), 4) is not None


def test_a_changed_configuration_is_still_refused(old: Path) -> None:
    run = RunFolder.open(old)
    with pytest.raises(CheckpointError, match="another configuration"):
        rewind(run, run.read_config(["learning.lr=0.001"]))


def test_it_calibrates_to_the_same_scores(old: Path) -> None:
    (old / "checkpoints" / "step-4" / "model" / "calibration.json").unlink()
    arguments = ("--method", "temperature", "--samples", "4", "--heldout", "4", "--threads", "1", "--json")
    scores = json.loads(call("calibrate", "previous", *arguments).stdout)["scores"]
    expected = json.loads((FIXTURE / "calibration.json").read_text())["scores"]
    # Titles are prose; the figures are what must not change.
    assert list(scores.values()) == list(expected.values())


def test_it_is_served_with_its_heads_and_calibration(old: Path) -> None:
    from tina_azr.serve.loading import open_for_serving

    engine = open_for_serving(load_config(overrides=["model.name=previous"]))
    assert engine.introspector is not None
    assert engine.calibration_digest == json.loads((FIXTURE / "calibration.json").read_text())["digest"]
    assert engine.notes == ()


def test_it_is_listed_shown_and_compared(old: Path) -> None:
    shutil.copytree(old, old.with_name("other"))
    (row,) = [row for row in json.loads(call("runs", "--json").stdout) if row["name"] == "previous"]
    assert row["step"] == 4
    shown = json.loads(call("runs", "previous", "--json").stdout)
    assert shown["end_step"] == 4
    compared = call("runs", "previous", "--against", "other").output
    assert "+0.0" in compared
    history = read_metrics(RunFolder.open(old))
    assert "chained" in history.steps[0].seconds_by_phase


def test_its_tasks_and_rollouts_are_read(old: Path) -> None:
    tasks = list_tasks(old / "tasks.sqlite", TaskFilter(), limit=5)
    assert all(task.task.length > 0 and task.image == "" for task in tasks)
    assert tasks[0].task.key[:8] in call("tasks", "previous", tasks[0].task.key[:8]).output


def test_its_configuration_names_settings_of_every_kind_that_is_translated(old: Path) -> None:
    values = read_values(old / "config.yaml")
    present = {f"{section}.{name}" for section, content in values.items() if isinstance(content, dict) for name in content}
    assert {*RENAMED, *REMOVED, *MERGED} <= present
    config = RunFolder.open(old).read_config()
    assert (config.selfplay.think_limit, config.introspection.chained_share) == (120, 0.25)
    assert (config.selfplay.length_cap, config.introspection.heads, config.heldout.tasks) == (0.3, ("tap",), "report")
    trainer = json.loads((old / "checkpoints" / "step-4" / "trainer.json").read_text())
    assert trainer["config_digest"] != config_digest(config)
    assert RunFolder.open(old).is_digest_of(trainer["config_digest"], config)


def test_a_removed_setting_with_another_value_is_refused(old: Path) -> None:
    text = (old / "config.yaml").read_text()
    (old / "config.yaml").write_text(text.replace("window_steps: 16", "window_steps: 3"))
    with pytest.raises(ConfigError, match=r"config\.yaml: `introspection\.window_steps` is 3, .* fixed at 16"):
        RunFolder.open(old).read_config()
