"""Tests of the command group: loading commands, showing errors."""

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import click
import pytest
from click.testing import CliRunner, Result

from tina_azr.cli.main import SUBCOMMANDS, Subcommand, cli, main
from tina_azr.errors import ConfigError, ModelError


def call(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Add a command `fail KIND` that raises."""

    @click.command()
    @click.argument("kind")
    def fail(kind: str) -> None:
        raise {
            "config": ConfigError("bad key"),
            "model": ModelError("no such folder"),
            "fault": ZeroDivisionError("oops"),
            "ctrl-c": KeyboardInterrupt(),
        }[kind]

    module = ModuleType("fake_command")
    vars(module)["fail"] = fail
    monkeypatch.setitem(sys.modules, "fake_command", module)
    monkeypatch.setitem(SUBCOMMANDS, "fail", Subcommand("fake_command", "Fail."))


def test_help_lists_every_command_in_order() -> None:
    result = call("--help")
    listed = [line.split()[0] for line in result.output.split("Commands:")[1].split("\n\n")[0].splitlines() if line.strip()]
    assert listed == list(SUBCOMMANDS)


@pytest.mark.parametrize("name", SUBCOMMANDS)
def test_help_shows_how_to_call_each_command(name: str) -> None:
    result = call(name, "--help")
    assert result.exit_code == 0
    assert f"tina-azr {name}" in result.output or f"cli {name}" in result.output


@pytest.mark.parametrize("name", ["train", "chat", "observe", "serve", "calibrate", "doctor", "sandbox"])
def test_help_documents_exit_statuses(name: str) -> None:
    assert "Exit status" in call(name, "--help").output


def test_no_arguments_show_the_help() -> None:
    assert "Start here:" in call().output


def test_an_unknown_command_is_a_usage_error() -> None:
    result = call("trian")
    assert result.exit_code == 2
    assert "No such command 'trian'. Did you mean 'train'?" in result.output


def test_shell_completion_after_an_unknown_command_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"_TINA_AZR_COMPLETE": "bash_complete", "COMP_WORDS": "tina-azr trian --", "COMP_CWORD": "2"}.items():
        monkeypatch.setenv(name, value)
    result = CliRunner().invoke(cli, prog_name="tina-azr")
    assert (result.exit_code, result.stderr) == (0, "")


@pytest.mark.usefixtures("failing")
@pytest.mark.parametrize(("kind", "status", "text"), [("config", 2, "Error: bad key\n"), ("model", 1, "Error: no such folder\n")])
def test_package_error_is_one_message_without_a_traceback(kind: str, status: int, text: str) -> None:
    result = call("fail", kind)
    assert (result.exit_code, result.stderr, result.stdout) == (status, text, "")


@pytest.mark.usefixtures("failing")
def test_ctrl_c_prints_stopped_and_exits_with_130() -> None:
    result = call("fail", "ctrl-c")
    assert (result.exit_code, result.stderr, result.stdout) == (130, "\nStopped.\n", "")


def test_ctrl_c_during_an_import_exits_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def import_module(name: str) -> ModuleType:
        raise KeyboardInterrupt

    monkeypatch.setattr("tina_azr.cli.main.import_module", import_module)
    result = call("chat")
    assert (result.exit_code, result.stderr) == (130, "\nStopped.\n")


@pytest.mark.usefixtures("failing")
def test_debug_keeps_the_traceback() -> None:
    assert isinstance(call("--debug", "fail", "model").exception, ModelError)


@pytest.mark.usefixtures("failing")
def test_bug_of_this_package_keeps_its_traceback() -> None:
    assert isinstance(call("fail", "fault").exception, ZeroDivisionError)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("arguments", [("--help",), ("config", "show")])
def test_a_full_device_is_one_message(arguments: tuple[str, ...], unbuffered: str) -> None:
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "tina_azr", *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
            check=False,
        )
    assert (ended.returncode, ended.stderr) == (1, "Error: standard output cannot be written: No space left on device\n")


def test_an_error_of_the_system_elsewhere_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def elsewhere(**_: str) -> None:
        raise PermissionError(13, "Permission denied", "somewhere")

    monkeypatch.setattr("tina_azr.cli.main.cli", elsewhere)
    with pytest.raises(PermissionError):
        main()
