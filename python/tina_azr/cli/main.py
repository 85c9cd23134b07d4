"""The root of `tina-azr`. Nothing heavy is imported here: a command's module is loaded when the command is called.

Anything in `tina_azr.errors` ends a command with one paragraph and no traceback, and Ctrl-C with one word, wherever it strikes; so does
a standard output that cannot be written, such as a full disk. Every other exception is a fault of this package and keeps its traceback.
"""

import os
import sys
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module

import click

from tina_azr.errors import ConfigError, TinaError

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells count it."""


@dataclass(frozen=True, slots=True)
class Subcommand:
    """A command of `tina-azr`: `module` defines it under the command's own name."""

    module: str
    summary: str
    """Its line in `tina-azr --help`, so that listing commands loads none."""


SUBCOMMANDS: dict[str, Subcommand] = {
    "train": Subcommand("tina_azr.cli.train.command", "Train a model by self-play."),
    "chat": Subcommand("tina_azr.cli.chat.command", "Chat with a model: budget and confidence shown."),
    "observe": Subcommand("tina_azr.cli.observe.command", "Answer one prompt and show what went on."),
    "serve": Subcommand("tina_azr.cli.serve", "Serve a model: a page, and an OpenAI-compatible API."),
    "runs": Subcommand("tina_azr.cli.runs", "List runs, or show one."),
    "calibrate": Subcommand("tina_azr.cli.calibrate", "Fit confidences and budgets to held-out labels."),
    "tasks": Subcommand("tina_azr.cli.tasks", "Look at the tasks that a run invented."),
    "config": Subcommand("tina_azr.cli.config", "Show, check and describe configuration files."),
    "doctor": Subcommand("tina_azr.cli.doctor", "Check this installation and say what to do about each fault."),
    "sandbox": Subcommand("tina_azr.cli.sandbox", "Run untrusted Python in the WebAssembly sandbox."),
    "tiny": Subcommand("tina_azr.cli.tiny", "Build the embedded model from nothing."),
}


class Failure(click.ClickException):
    """One of this package's errors, as the command line shows it: what was asked for could not be done."""

    exit_code = 1


class Refusal(click.ClickException):
    """The same for a configuration or flag that cannot be used; the exit status of click's own usage errors."""

    exit_code = 2


class Root(click.Group):
    """Loads commands from `SUBCOMMANDS` and turns this package's errors into messages."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(SUBCOMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in SUBCOMMANDS:
            return None
        command = getattr(import_module(SUBCOMMANDS[cmd_name].module), cmd_name)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        # Click's own suggestions come from commands that are loaded. A shell that completes a line parses it too, and is told nothing.
        if args[0] not in SUBCOMMANDS and not ctx.resilient_parsing and (close := get_close_matches(args[0], SUBCOMMANDS, n=1)):
            ctx.fail(f"No such command {args[0]!r}. Did you mean {close[0]!r}?")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, subcommand.summary) for name, subcommand in SUBCOMMANDS.items()])

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except TinaError as error:
            if ctx.params["debug"]:
                raise
            raise (Refusal if isinstance(error, ConfigError) else Failure)(str(error)) from error
        except KeyboardInterrupt:
            # Where the command itself has not looked for it, such as in the seconds in which torch is imported. Click would exit with 1.
            click.echo("\nStopped.", err=True)
            raise click.exceptions.Exit(INTERRUPTED) from None


EPILOG = """\b
Start here:
  tina-azr train                          self-play with the embedded model, minutes on two cores
  tina-azr serve                          talk to it in the browser, or as an OpenAI-compatible API
  tina-azr runs                           what has been trained
  tina-azr chat                           talk to a model; reasoning folded, budget and confidence shown
  tina-azr tasks runs/NAME                the tasks it invented
  tina-azr sandbox run f.py --call 'f(3)' one program in the sandbox
  tina-azr doctor                         is everything in place?
"""


@click.group(cls=Root, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(package_name="tina-azr", message="tina-azr %(version)s")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def cli(debug: bool) -> None:
    """Self-play for Qwen3 thinking models.

    The model proposes programming tasks, a sandbox checks them, the model solves them and learns from the outcome. No dataset, no
    labels.
    """


def main() -> None:
    """The console script."""
    try:
        cli(prog_name="tina-azr")
    except OSError as error:
        # Click has dealt with a closed pipe. A full device does not take one more newline either; any other error is a fault.
        if _takes_output():
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the interpreter's own last try
        click.echo(f"Error: standard output cannot be written: {error.strerror or error}", err=True)
        sys.exit(Failure.exit_code)


def _takes_output() -> bool:
    try:
        sys.stdout.write("\n")
        sys.stdout.flush()
    except OSError:
        return False
    return True
