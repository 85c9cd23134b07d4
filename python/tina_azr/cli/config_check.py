"""Checks that a configuration fits its model. Only small files of the model are read: no download, no weights."""

from collections.abc import Iterator
from pathlib import Path

from tina_azr.config import Config
from tina_azr.engine import checks
from tina_azr.engine.checks import CheckpointShape, Problem
from tina_azr.errors import ModelError
from tina_azr.model.loading import find_folder, is_hub_name


def absent_model(config: Config) -> str | None:
    """Return the hub name of a model that is not on this machine and so cannot be checked. None if it is here."""
    name = config.model.name
    if not is_hub_name(name):
        return None
    try:
        find_folder(name, download=False)
    except ModelError:
        return name
    return None


def remarks(config: Config) -> list[str]:
    """Return remarks about a valid configuration."""
    absent = absent_model(config)
    return [] if absent is None else [f"{absent} is not on this machine: whether it fits was not checked"]


def model_problems(config: Config) -> list[Problem]:
    """Return everything that does not fit."""
    found = checks.check_tags(config.introspection.tags, "introspection.tags")
    if absent_model(config) is not None:
        return found
    try:
        folder = find_folder(config.model.name, download=False)
    except ModelError as error:
        return [*found, Problem(where="model.name", what=str(error), advice="Name a model that is there")]
    shape = checks.read_shape(folder)
    return [*found, *(_fits(config, folder, shape) if isinstance(shape, CheckpointShape) else shape)]


def _fits(config: Config, folder: Path, shape: CheckpointShape) -> Iterator[Problem]:
    introspection = config.introspection
    yield from checks.check_tokenizer(folder, shape.vocabulary)
    yield from checks.check_taps(None if introspection.taps == "all" else introspection.taps, shape.layers, "introspection.taps")
    yield from checks.check_budget(
        slack=introspection.slack,
        min_think_tokens=introspection.min_think_tokens,
        max_think_tokens=introspection.max_think_tokens,
        positions=shape.positions,
        where="introspection",
    )
    yield from checks.check_context_length(
        prompt_tokens=config.tasks.max_prompt_tokens,
        completion_tokens=config.selfplay.max_tokens,
        positions=shape.positions,
        where="tasks.max_prompt_tokens and selfplay.max_tokens",
    )
    yield from checks.check_heads(folder, shape)
    calibration = introspection.calibration
    yield from checks.check_calibration(folder, Path(calibration).expanduser() if calibration is not None else None)
