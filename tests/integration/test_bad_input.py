"""Tests of wrong input and failing machines: each is a clear error, and nothing is lost."""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tina_azr.cli.main import cli
from tina_azr.runs import checkpoint

SMALL = (
    *("--steps", "2", "--set", "run.checkpoint_every=1", "--set", "run.max_minutes=null", "--set", "run.threads=1"),
    *("--set", "selfplay.proposals_per_mode=2", "--set", "selfplay.group_size=2"),
    *("--set", "heldout.every=100", "--set", "heldout.per_cell=1"),
)
Train = Callable[..., Result]


@pytest.fixture
def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Train:
    """`tina-azr train ...` in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(cli, ["train", *arguments])


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "finished"
    result = CliRunner().invoke(cli, ["train", "--run-dir", str(run), *SMALL])
    assert result.exit_code == 0, result.output
    return run


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A copy of a run of two steps, each with a checkpoint."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


def _content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _refused(result: Result, code: int, *parts: str) -> None:
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    for part in parts:
        assert part in result.output


def test_an_unknown_key(train: Train, tmp_path: Path) -> None:
    _refused(train("--set", "learning.lrr=1e-4"), 2, "unknown key `learning.lrr` (did you mean `lr`?)")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_key_in_a_file_is_named_with_its_line(train: Train, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("run:\n  stepps: 3\n")
    _refused(train("--config", "mine.yaml"), 2, "mine.yaml line 2: unknown key `run.stepps`")


def test_a_wrong_type(train: Train, tmp_path: Path) -> None:
    _refused(train("--set", "run.steps=many"), 2, "`run.steps` is 'many', but must be a valid integer")
    assert list(tmp_path.iterdir()) == []


def test_supervised_mode(train: Train, tmp_path: Path) -> None:
    _refused(train("--set", "mode=supervised"), 2, "`mode: supervised`: there is no supervised training here")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_configuration_file(train: Train) -> None:
    _refused(train("--config", "absent.yaml"), 2, "absent.yaml: there is no such file")


def test_names_that_contradict_each_other(train: Train) -> None:
    _refused(train("--name", "a", "--run-dir", "b"), 2, "give one")
    _refused(train("--name", "a/b"), 2, "one plain word")
    _refused(train("--from-step", "3"), 2, "--from-step belongs to --resume")
    _refused(train("--resume", "x", "--config", "y.yaml"), 2, "leave --config and --preset out")
    _refused(train("--resume", "x", "--preset", "tiny-self-play"), 2, "leave --config and --preset out")


def test_a_run_folder_that_exists(train: Train, run: Path) -> None:
    before = _content(run)
    _refused(
        train("--run-dir", str(run), *SMALL), 1, f"{run} holds a run already (finished at step 2)", f"tina-azr train --resume {run}"
    )
    assert _content(run) == before


def test_a_missing_model_folder_leaves_no_run_behind(train: Train, tmp_path: Path) -> None:
    _refused(train("--name", "first", "--set", "model.name=./absent"), 1, "no model folder at ./absent")
    assert not (tmp_path / "runs" / "first").exists()


def test_folder_without_a_model(train: Train, tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    _refused(train("--name", "first", "--set", "model.name=./notes"), 1, "notes")
    assert not (tmp_path / "runs" / "first").exists()


def test_resuming_a_missing_run(train: Train) -> None:
    _refused(train("--resume"), 1, "no run below runs/ to go on with")
    _refused(train("--resume", "absent"), 1, "no run folder absent")


def test_resuming_with_another_configuration(train: Train, run: Path) -> None:
    before = _content(run)
    _refused(train("--resume", str(run), "--set", "learning.lr=0.1"), 2, "only values of the `run` section")
    assert _content(run) == before


def test_resuming_a_finished_run(train: Train, run: Path) -> None:
    before = _content(run)
    _refused(train("--resume", str(run)), 1, "has reached its goal of 2 steps", "--steps N")
    assert _content(run) == before


def test_finished_run_continues_with_more_steps(train: Train, run: Path) -> None:
    result = train("--resume", str(run), "--steps", "3")
    assert result.exit_code == 0, result.output
    assert (run / "checkpoints" / "step-3").is_dir()


def test_corrupt_checkpoint_error_says_what_to_do(train: Train, run: Path) -> None:
    weights = run / "checkpoints" / "step-2" / "model" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-100] ^= 1
    weights.write_bytes(bytes(data))
    before = _content(run)
    result = train("--resume", str(run), "--steps", "3")
    _refused(result, 1, f"{weights} is damaged", f"tina-azr train --resume {run} --from-step 1")
    assert _content(run).keys() == before.keys()
    assert all(content == before[name] for name, content in _content(run).items() if name != "lock")
    again = train("--resume", str(run), "--steps", "3", "--from-step", "1")
    assert again.exit_code == 0, again.output
    assert (run / "checkpoints" / "step-3").is_dir()
    assert (run / "checkpoints" / "aside-step-2").is_dir()


def test_full_disk_keeps_the_checkpoint_and_the_run_resumes_later(train: Train, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(checkpoint, "save_file", fail)
    result = train("--resume", str(run), "--steps", "3")
    _refused(
        result,
        1,
        f"the disk is full: could not write checkpoint step-3 in {run}; checkpoint step-2 is whole and kept",
        f"tina-azr train --resume {run}",
    )
    monkeypatch.undo()
    again = train("--resume", str(run))
    assert again.exit_code == 0, again.output
    assert (run / "checkpoints" / "step-3").is_dir()
