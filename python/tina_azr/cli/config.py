"""`tina-azr config`: show, check and describe configurations."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tina_azr.cli.model_options import OVERRIDES, PRESET
from tina_azr.errors import ConfigError

if TYPE_CHECKING:
    from tina_azr.config import Config


EPILOG = """\b
Examples:
  tina-azr config show --comments > mine.yaml
                                          start from the defaults, each explained
  tina-azr config show mine.yaml --set run.steps=20
  tina-azr config validate configs/*.yaml
  tina-azr config presets                 configurations that ship with the package
  tina-azr config schema > schema.json    for completion in an editor
"""


@click.group(epilog=EPILOG)
def config() -> None:
    """Show, check and describe configuration files."""


@config.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@PRESET
@OVERRIDES
@click.option("--comments", is_flag=True, help="Explain every value: what it means, its unit and bounds.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of YAML.")
def show(file: Path | None, preset: str | None, overrides: tuple[str, ...], comments: bool, as_json: bool) -> None:
    """Print the resolved configuration: defaults, then the preset, then FILE, then --set."""
    from tina_azr.config import describe_config, dump_config, load_config

    if comments and as_json:
        raise click.UsageError("JSON has no comments: give --comments or --json, not both.")
    resolved = load_config(file, overrides, preset=preset)
    if as_json:
        click.echo(json.dumps(resolved.model_dump(mode="json"), indent=2))
    else:
        click.echo(describe_config(resolved) if comments else dump_config(resolved), nl=False)


@config.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@OVERRIDES
@click.option("--json", "as_json", is_flag=True, help="Print one object: each file's name with its list of problems.")
def validate(files: tuple[Path, ...], overrides: tuple[str, ...], as_json: bool) -> None:
    """Check FILES without running anything. Exit status 2 if any of them has a problem.

    Checks keys, values, bounds and names. If the model is on this machine, also checks that its tokenizer, template, layers, heads and
    calibration agree with each other and with the configuration.
    """
    problems = {str(file): _problems(file, overrides) for file in files}
    if as_json:
        click.echo(json.dumps(problems, indent=2))
    else:
        for file, found in problems.items():
            click.echo("\n".join(found) if found else f"{file}: good{_remarks(file, overrides)}")
    if any(problems.values()):
        raise click.exceptions.Exit(2)


@config.command()
@click.option("--json", "as_json", is_flag=True, help="Print an object: each preset's name with its values.")
def presets(as_json: bool) -> None:
    """List the configurations that ship with the package (`--preset NAME`)."""
    from tina_azr.config import load_config, preset_names, preset_summary

    names = preset_names()
    if as_json:
        click.echo(json.dumps({name: load_config(preset=name).model_dump(mode="json") for name in names}, indent=2))
        return
    for name in names:
        click.echo(f"{name:<{max(map(len, names))}}  {preset_summary(name)}")


@config.command()
def schema() -> None:
    """Print the JSON schema of a configuration file, generated from the models that check it."""
    from tina_azr.config import config_schema

    click.echo(json.dumps(config_schema(), indent=2))


def _problems(file: Path, overrides: tuple[str, ...]) -> list[str]:
    from tina_azr.config import load_config

    try:
        resolved = load_config(file, overrides)
    except ConfigError as error:
        return str(error).splitlines()
    try:
        _resolve_names(resolved)
    except ConfigError as error:
        return [f"{file}: {error}"]
    from tina_azr.cli.config_check import model_problems

    return [f"{file}: {problem}" for problem in model_problems(resolved)]


def _remarks(file: str, overrides: tuple[str, ...]) -> str:
    from tina_azr.cli.config_check import remarks
    from tina_azr.config import load_config

    return "".join(f" ({remark})" for remark in remarks(load_config(Path(file), overrides)))


def _resolve_names(config: "Config") -> None:
    """Look up every name that refers to a dictionary in a layer above `config`, as the trainer does when a run starts."""
    from tina_azr.config import choose
    from tina_azr.introspection.heads import AGGREGATORS, FORMS
    from tina_azr.selfplay.introspection_rewards import BONUS_RULES
    from tina_azr.selfplay.rewards import LEARNABILITY, PROPOSER_TERMS, SOLVER_TERMS
    from tina_azr.tasks.modes import MODES
    from tina_azr.train.advantages import ADVANTAGES

    tables: list[tuple[str, Mapping[str, object], tuple[str, ...]]] = [
        ("tasks.modes", MODES, config.tasks.modes),
        ("rewards.learnability", LEARNABILITY, (config.rewards.learnability,)),
        ("rewards.proposer_terms", PROPOSER_TERMS, config.rewards.proposer_terms),
        ("rewards.solver_terms", SOLVER_TERMS, config.rewards.solver_terms),
        ("learning.advantage", ADVANTAGES, (config.learning.advantage,)),
        ("introspection.reward", BONUS_RULES, (config.introspection.reward,)),
        ("introspection.heads", FORMS, config.introspection.heads),
        ("introspection.aggregator", AGGREGATORS, (config.introspection.aggregator,)),
    ]
    for field, table, names in tables:
        for name in names:
            choose(table, name, field)
