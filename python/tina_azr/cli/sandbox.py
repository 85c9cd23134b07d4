"""`tina-azr sandbox`: run or check one program, measure the sandbox, and describe it."""

import json
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tina_azr.cli.console import interruptible
from tina_azr.errors import ConfigError

if TYPE_CHECKING:
    from tina_azr.benchmarks.sandbox import Figures, Row
    from tina_azr.sandbox import Outcome, Sandbox

SEED_RUNS = 2_000
"""Number of programs of a measurement without a corpus, which repeats the seed tasks."""
MAX_FUEL = 1 << 62
MAX_WALL_MS = 86_400_000
MIN_MEMORY_MB = 64
"""Memory that the interpreter itself needs. The native module refuses less."""
FACTS: dict[str, Callable[[Any], tuple[str, str]]] = {
    "engine": lambda version: ("engine", version),
    "python": lambda version: ("Python", version),
    "componentize_py": lambda version: ("built by", f"componentize-py {version}"),
    "way": lambda way: ("interpreter", {"reset": "kept, and reset after each program", "fresh": "a new one for each program"}[way]),
    "image": lambda digest: ("image", digest),
    "second_image": lambda digest: ("second image", digest),
    "image_bytes": lambda size: ("image size", f"{size / 1e6:.1f} MB"),
    "cache": lambda folder: ("cache", folder),
    "cache_bytes": lambda size: ("cache size", f"{size / 1e6:.1f} MB"),
    "workers": lambda count: ("threads", str(count)),
}
"""Format of each key of `Sandbox.info()` for people: name and value."""
EPILOG = """\b
Examples:
  tina-azr sandbox run squares.py --call 'f(4)'
  echo 'def f(x): return {x, 1}' | tina-azr sandbox check - --call 'f(2)' --json
  tina-azr sandbox bench --peers

\b
The object of --json: outcome (ok, or the name of what ended the program), value (its literal), error, stdout, fuel, wall_ms,
memory_bytes. Without it, control characters in the program's output are escaped.
Exit status: 0 ok, 1 the program did not end ok, 2 wrong flag or file, 130 Ctrl-C.
"""


@click.group(epilog=EPILOG)
def sandbox() -> None:
    """Run untrusted Python: in WebAssembly, with no files, network, clock or randomness, and exact limits."""


def _program_arguments(command: Callable[..., None]) -> Callable[..., None]:
    for add in reversed(
        (
            click.argument("file", type=click.File(encoding="utf-8-sig")),
            click.option(
                "--call", default="None", metavar="EXPRESSION", help="Expression to evaluate after the program, for example 'f(3)'."
            ),
            click.option("--policy", default="standard", show_default=True, type=click.Choice(["strict", "standard", "open"])),
            click.option(
                "--fuel", type=click.IntRange(1, MAX_FUEL), metavar="N", help="Limit of WebAssembly instructions, approximately."
            ),
            click.option(
                "--wall-ms",
                type=click.IntRange(1, MAX_WALL_MS),
                metavar="MS",
                help="Time limit in milliseconds, in addition to fuel.",
            ),
            click.option(
                "--memory-mb", type=click.IntRange(MIN_MEMORY_MB, 4096), metavar="MB", help="Memory limit, interpreter included."
            ),
            click.option("--json", "as_json", is_flag=True, help="Print one JSON object, also when the program failed."),
        )
    ):
        command = add(command)
    return command


@sandbox.command()
@_program_arguments
def run(file: Any, **options: Any) -> None:
    """Run the program in FILE (`-`: standard input) and print the value of --call."""
    _show(lambda box, program, call: box.run(program, call), file, **options)


@sandbox.command()
@_program_arguments
def check(file: Any, **options: Any) -> None:
    """Run the program on two images of the interpreter; `ok` only if hash seeds and addresses do not affect the result."""
    _show(lambda box, program, call: box.check(program, call), file, **options)


def _show(
    act: "Callable[[Sandbox, str, str], Outcome]",
    file: Any,
    *,
    call: str,
    policy: str,
    fuel: int | None,
    wall_ms: int | None,
    memory_mb: int | None,
    as_json: bool,
) -> None:
    from tina_azr.sandbox import Limits, Sandbox, StaticPolicy

    given = {"fuel": fuel, "wall_ms": wall_ms, "memory_bytes": None if memory_mb is None else memory_mb << 20}
    try:
        program = file.read()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file.name} is not UTF-8 text: {error}") from error
    try:
        box = Sandbox(
            limits=Limits(**{name: value for name, value in given.items() if value is not None}), policy=StaticPolicy(policy)
        )
    except ValueError as error:
        raise ConfigError(str(error)) from error
    with box:
        outcome = interruptible(lambda: act(box, program, call))
    if as_json:
        click.echo(json.dumps(outcome.view(), ensure_ascii=True))
    else:
        _print_outcome(outcome)
    if not outcome.ok:
        raise click.exceptions.Exit(1)


def _print_outcome(outcome: "Outcome") -> None:
    from tina_azr.formatting import visible

    printed = visible(outcome.stdout)
    click.echo(printed, nl=bool(printed) and not printed.endswith("\n"))
    if outcome.ok:
        click.echo(outcome.value)
    else:
        more = "; --fuel N gives it more" if outcome.kind == "fuel" else ""
        click.echo(f"{outcome.kind}: {visible(outcome.error or '')}{more}", err=True)
    click.echo(f"fuel {outcome.fuel:,}, {outcome.wall_ms:.1f} ms, {outcome.memory_bytes >> 20} MB", err=True)


@sandbox.command()
@click.option("--corpus", multiple=True, type=click.Path(path_type=Path, exists=True), help="JSONL of tasks, or a folder of them.")
@click.option(
    "--peers",
    is_flag=True,
    help="Also exec in this process, a fresh `python -I` for each of at most 200 programs, and pydantic-monty if it is installed. They run "
    "the corpus UNPROTECTED, with your files and your network, and exec without limits: only for a corpus you trust.",
)
@click.option(
    "--rounds", type=click.IntRange(min=1), default=5, show_default=True, help="Each way runs once a round; medians are shown."
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Most programs, drawn evenly from the corpus.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def bench(corpus: tuple[Path, ...], peers: bool, rounds: int, limit: int | None, as_json: bool) -> None:
    """Measure programs a second on one core and agreement with recorded outputs; without --corpus on the seed tasks."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from tina_azr.benchmarks.sandbox import (
        Contestant,
        disagreements,
        evenly,
        measure,
        prepared_programs,
        read_corpus,
        whole_programs,
    )
    from tina_azr.benchmarks.sandbox_peers import EXEC
    from tina_azr.benchmarks.sandbox_peers import peers as open_peers
    from tina_azr.sandbox import Sandbox

    with (
        Sandbox(workers=1) as box,
        Sandbox(workers=2) as two,
        ExitStack() as stack,
        Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=Console(stderr=True)
        ) as progress,
    ):
        rows = interruptible(lambda: read_corpus(corpus, box)) if corpus else _seed_rows(limit or SEED_RUNS)
        rows = rows if limit is None else evenly(rows, limit)
        contestants = [
            Contestant("sandbox", whole_programs(box)),
            Contestant("prepared calls", prepared_programs(box)),
            Contestant("two threads", whole_programs(two)),
            *(stack.enter_context(open_peers(box)) if peers else ()),
        ]
        task = progress.add_task("rounds", total=(rounds + 1) * len(contestants))
        base = EXEC if peers else None
        results = interruptible(lambda: measure(contestants, base, box, rows, rounds, lambda: progress.advance(task)))
        reasons = interruptible(lambda: disagreements(box, rows))
    if as_json:
        others_json = {name: figures.to_json() for name, figures in results.items() if name != "sandbox"}
        click.echo(json.dumps({**results["sandbox"].to_json(), "disagreements": reasons, "others": others_json}))
    else:
        _print_table(results, reasons)


def _seed_rows(count: int) -> "list[Row]":
    from itertools import cycle, islice

    from tina_azr.benchmarks.sandbox import Row
    from tina_azr.tasks.seeds import load_seeds
    from tina_azr.text.style import PromptStyle

    return [Row(seed.program, f"f({seed.input})", seed.output) for seed in islice(cycle(load_seeds(PromptStyle.FULL)), count)]


def _print_table(results: "dict[str, Figures]", reasons: dict[str, int]) -> None:
    from rich.console import Console
    from rich.table import Table

    from tina_azr.benchmarks.sandbox_peers import EXEC, MONTY

    compared = EXEC in results
    shares = ("share of exec",) if compared else ()
    table = Table("on one core", "programs", "a second", "p50", "p99", "faults", "agreement", *shares, box=None)
    for column in table.columns[1:]:
        column.justify = "right"
    for name, figures in results.items():
        times: Sequence[str] = [f"{us:,.0f} us" for us in (figures.p50_us, figures.p99_us)]
        share = () if figures.share is None else (f"{figures.share:.3f}",)
        faults, agreement = f"{figures.page_faults:,.1f}", f"{figures.agreement:.2%}"
        table.add_row(name, f"{figures.programs:,}", f"{figures.programs_per_second:,.0f}", *times, faults, agreement, *share)
    console = Console(highlight=False)
    console.print(table)
    most = max(figures.programs for figures in results.values())
    for name, figures in results.items():
        if figures.programs < most:
            console.print(f"{name} ran only {figures.programs:,} of the {most:,} programs, drawn evenly.", style="dim")
    if compared and MONTY not in results:
        console.print("pydantic-monty is not installed; `pip install pydantic-monty` adds it to the comparison.", style="dim")
    for reason, count in reasons.items():
        console.print(f"sandbox, no agreement: {count:,} {reason}")


@sandbox.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def info(as_json: bool) -> None:
    """Show the sandbox's engine, images and cache."""
    from tina_azr.sandbox import Sandbox

    facts = Sandbox().info()
    if as_json:
        click.echo(json.dumps(facts))
        return
    for key, value in facts.items():
        name, shown = FACTS[key](value)
        click.echo(f"{name:13} {shown}")


@sandbox.command()
def warm() -> None:
    """Compile the interpreter now, so that the first run does not wait for it."""
    from tina_azr.sandbox.sandbox import warm as warm_up

    warm_up()
    click.echo("ready")
