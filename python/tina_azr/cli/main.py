"""Root of the `tina-azr` command. It imports nothing heavy: a command's module is loaded when the command is called.

An error of `tina_azr.errors` ends a command with a message and no traceback. So do Ctrl-C, and a standard output that cannot be
written, for example because the disk is full. Any other exception is a bug of this package and keeps its traceback.
"""

import os
import sys
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module

import click

from tina_azr.errors import ConfigError, TinaError

INTERRUPTED = 130
"""Exit status after Ctrl-C, by the convention of shells."""


@dataclass(frozen=True, slots=True)
class Subcommand:
    """Command of `tina-azr`. Its `module` defines it under the command's name."""

    module: str
    summary: str
    """Line in `tina-azr --help`. It is kept here so that listing the commands loads none of them."""


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
    """Error of this package as the command line shows it, with exit status 1."""

    exit_code = 1


class Refusal(click.ClickException):
    """Error about a configuration or flag, with exit status 2 as for click's usage errors."""

    exit_code = 2


class Root(click.Group):
    """Command group that loads commands from `SUBCOMMANDS` and turns this package's errors into messages."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(SUBCOMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in SUBCOMMANDS:
            return None
        command = getattr(import_module(SUBCOMMANDS[cmd_name].module), cmd_name)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        # Click suggests only loaded commands. A shell that completes a line also parses it, and gets no suggestion.
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
            # The command itself does not handle it, for example while torch is imported. Click would exit with 1.
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
    """Run the console script."""
    try:
        cli(prog_name="tina-azr")
    except OSError as error:
        # Click handles a closed pipe. A full device refuses one more newline too; any other error is a bug.
        if _takes_output():
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the interpreter flushes standard output once more at exit
        click.echo(f"Error: standard output cannot be written: {error.strerror or error}", err=True)
        sys.exit(Failure.exit_code)


def _takes_output() -> bool:
    try:
        sys.stdout.write("\n")
        sys.stdout.flush()
    except OSError:
        return False
    return True
