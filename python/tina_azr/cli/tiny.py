"""`tina-azr tiny`: the embedded model's card and figures, and its build."""

import json
from pathlib import Path

import click

ASSETS = Path(__file__).resolve().parent.parent / "assets"


@click.group()
def tiny() -> None:
    """Show or build the embedded model: 1 M parameters, with its own tokenizer and recipe.

    `tiny` skips steps in its reasoning, so that self-play has something to learn. `tiny-warm` is the stage before it, and the baseline
    to exceed.
    """


@tiny.command()
@click.option("--name", default="tiny", show_default=True, type=click.Choice(["tiny", "tiny-warm"]), help="Which stage.")
@click.option("--json", "as_json", is_flag=True, help="Print the measured figures as one JSON object.")
def info(name: str, as_json: bool) -> None:
    """Show the model card, or with --json what was measured."""
    if as_json:
        click.echo((ASSETS / name / "evaluation.json").read_text().rstrip())
        return
    click.echo((ASSETS / name / "README.md").read_text().rstrip())


@tiny.command(epilog="Example: tina-azr tiny build --out models --tokens 2000000   (a weak model, in a few minutes)")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=Path("tiny-build/models"), show_default=True)
@click.option("--work", type=click.Path(path_type=Path, file_okay=False), default=Path("tiny-build/work"), show_default=True)
@click.option("--tokens", type=click.IntRange(min=10_000), help="Length of the warm start. Default: the shipped model's.")
@click.option("--workers", type=click.IntRange(min=1, max=64), help="Data-parallel processes. Default: 2.")
@click.option("--stage", type=click.Choice(["all", "evaluate"]), default="all", show_default=True)
def build(out: Path, work: Path, tokens: int | None, workers: int | None, stage: str) -> None:
    """Build the embedded model from nothing: held-out sets, vocabulary, warm start, mixed stage, evaluation, model card.

    No data set and no download: programs come from templates, the sandbox runs and traces them, and the traces are the reasoning.
    The shipped model takes one to two hours on two cores. You may interrupt it: the same command continues where it stopped.
    """
    from tina_azr.tiny.build import BuildFolders, build, scaled
    from tina_azr.tiny.card import measure
    from tina_azr.tiny.recipe import Recipe

    recipe = scaled(Recipe(), tokens=tokens, workers=workers)
    folders = BuildFolders(work=work, out=out)
    if stage == "all":
        build(recipe, folders, lambda line: click.echo(f"tiny build: {line}"))
    for name in ("tiny-warm", "tiny"):
        click.echo(f"tiny build: measuring {name}")
        report = measure(out / name, heldout=out / "tiny" / "heldout_report.jsonl", name=name)
        click.echo(json.dumps(report.summary()))
