"""`tina-azr doctor`: checks of the installation, with advice for each fault. The checks are independent of each other."""

import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import click

from tina_azr.errors import TinaError

PACKAGE = Path(__file__).resolve().parent.parent
MIN_MEMORY_GIB = 2
MIN_DISK_GIB = 1


class Status(StrEnum):
    """Result of a check."""

    GOOD = "good"
    NOTE = "note"
    """It works, but it could be faster or do more."""
    FAULT = "fault"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Line of the report."""

    name: str
    status: Status
    detail: str
    advice: str = ""
    """What to do; empty if nothing needs to be done."""
    display: tuple[str, str] | None = None
    """Name and detail for people, if `name` and `detail` are meant for programs."""

    def to_json(self) -> dict[str, str]:
        return {"name": self.name, "status": self.status.value, "detail": self.detail, "advice": self.advice}


@click.command(epilog="Exit status 1 if there is a fault. With --json: a list of objects with name, status, detail and advice.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(as_json: bool) -> None:
    """Check this installation and say what to do about each fault.

    Looks at Python, torch and its device, cores and memory, the native module, the sandbox (with one program run in it), the embedded
    models, and whether runs can be written here.
    """
    findings: list[Finding] = []
    for check in CHECKS:
        for finding in check():
            findings.append(finding)
            if not as_json:
                _print(finding)
    if as_json:
        click.echo(json.dumps([finding.to_json() for finding in findings], indent=2))
    if any(finding.status is Status.FAULT for finding in findings):
        raise click.exceptions.Exit(1)


def _print(finding: Finding) -> None:
    color = {Status.GOOD: "green", Status.NOTE: "yellow", Status.FAULT: "red"}[finding.status]
    name, detail = finding.display or (finding.name, finding.detail)
    click.echo(f"{click.style(f'{finding.status:5}', fg=color)}  {name:20}  {detail}")
    if finding.advice:
        click.echo(f"{'':29}{finding.advice}")


def _python() -> Iterator[Finding]:
    yield Finding(
        name="python",
        status=Status.GOOD,
        detail=f"{platform.python_version()} on {platform.platform(terse=True)}, {sys.executable}",
    )


def _machine() -> Iterator[Finding]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    yield Finding(
        name="cores",
        status=Status.GOOD if cores > 1 else Status.NOTE,
        detail=str(cores),
        advice="" if cores > 1 else "One core is enough, but runs take about twice as long as with two.",
    )
    gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    enough = gib >= MIN_MEMORY_GIB
    yield Finding(
        name="memory",
        status=Status.GOOD if enough else Status.NOTE,
        detail=f"{gib:.1f} GiB",
        advice="" if enough else "Lower selfplay.slots and learning.micro_batch_tokens if a run runs out of memory.",
    )


def _torch() -> Iterator[Finding]:
    try:
        torch = import_module("torch")
    except ImportError as error:
        yield Finding(
            name="torch",
            status=Status.FAULT,
            detail=f"cannot be imported: {error}",
            advice="Run `make native`, or install torch as the README's section on a smaller torch says.",
        )
        return
    if torch.cuda.is_available():
        card = torch.cuda.get_device_properties(0)
        device = f"{card.name}, {card.total_memory / 2**30:.0f} GiB"
    else:
        device = "no GPU: runs use the CPU, which is what the embedded model is made for"
    yield Finding(name="torch", status=Status.GOOD, detail=f"{torch.__version__}, {torch.get_num_threads()} threads; {device}")


def _transformers() -> Iterator[Finding]:
    try:
        yield Finding(name="transformers", status=Status.GOOD, detail=version("transformers"))
    except PackageNotFoundError:
        yield Finding(
            name="transformers",
            status=Status.FAULT,
            detail="is not installed",
            advice="Run `make native`, or `pip install .` from a clone.",
        )


def _native() -> Iterator[Finding]:
    try:
        native = import_module("tina_azr._native")
    except ImportError as error:
        yield Finding(
            name="native module",
            status=Status.FAULT,
            detail=f"cannot be imported: {error}",
            advice="It is built with the package: run `make native`, or `pip install .` from a clone; both need Rust.",
        )
        return
    yield Finding(name="native module", status=Status.GOOD, detail=str(native.__file__))


def _sandbox() -> Iterator[Finding]:
    advice = "Run `tina-azr --debug doctor` for the whole error. You can delete the cache at any time: it is rebuilt."
    try:
        from tina_azr.cli.sandbox import FACTS
        from tina_azr.sandbox import Sandbox

        with Sandbox() as sandbox:
            for key, value in sandbox.info().items():
                name, shown = FACTS[key](value)
                yield Finding(name=f"sandbox {key}", status=Status.GOOD, detail=str(value), display=(f"sandbox {name}", shown))
            outcome = sandbox.run("def f(n):\n    return sum(range(n))\n", "f(10)")
    except (ImportError, TinaError) as error:
        yield Finding(name="sandbox", status=Status.FAULT, detail=str(error), advice=advice)
        return
    good = outcome.value == "45"
    yield Finding(
        name="sandbox run",
        status=Status.GOOD if good else Status.FAULT,
        detail=f"{outcome.kind.value}, {outcome.value or outcome.error}, {outcome.fuel / 1e6:.1f} M fuel, {outcome.wall_ms:.1f} ms",
        advice="" if good else advice,
    )


def _models() -> Iterator[Finding]:
    for name in ("tiny", "tiny-warm"):
        weights = PACKAGE / "assets" / name / "model.safetensors"
        if weights.is_file():
            yield Finding(name=f"model {name}", status=Status.GOOD, detail=f"{weights.stat().st_size / 1e6:.1f} MB, {weights}")
        else:
            yield Finding(
                name=f"model {name}",
                status=Status.FAULT,
                detail=f"{weights} is missing",
                advice="The installation is incomplete: install it again, or make the model with `tina-azr tiny build`.",
            )


def _writing() -> Iterator[Finding]:
    here = Path.cwd()
    try:
        with tempfile.TemporaryDirectory(dir=here, prefix=".tina-azr-"):
            pass
    except OSError as error:
        yield Finding(
            name="writing here",
            status=Status.NOTE,
            detail=f"{here}: {error.strerror}",
            advice="Runs are written below ./runs: change to another folder, or give --run-dir.",
        )
        return
    free = shutil.disk_usage(here).free / 2**30
    enough = free >= MIN_DISK_GIB
    yield Finding(
        name="writing here",
        status=Status.GOOD if enough else Status.NOTE,
        detail=f"{here}, {free:.1f} GiB free",
        advice="" if enough else "A run of the embedded model takes about 100 MB: free some space, or give --run-dir.",
    )


CHECKS: tuple[Callable[[], Iterator[Finding]], ...] = (
    _python,
    _machine,
    _torch,
    _transformers,
    _native,
    _sandbox,
    _models,
    _writing,
)
