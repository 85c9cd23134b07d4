"""Options for the model of a command, and functions that open its engine."""

import math
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tina_azr.errors import ConfigError
from tina_azr.introspection.budget import EFFORT_QUANTILES

if TYPE_CHECKING:
    from tina_azr.config import Config
    from tina_azr.engine.engine import IntrospectiveEngine

EMBEDDED = "tiny"
EMBEDDED_NOTE = (
    "The embedded model solves small Python tasks in a fixed prompt format; it cannot hold a conversation. "
    "For a real model use --model Qwen/Qwen3-4B-Thinking-2507, or a folder."
)
EXAMPLE = "Predict the output.\n```python\ndef f(x):\n    y = x * 3\n    return y - 4\n```\n```input\n7\n```\n"
"""Task in the prompt format of the embedded model."""
MAX_SEED = (1 << 63) - 1
_DEVICE = re.compile(r"auto|cpu|cuda(:\d+)?")


class NumberRange(click.FloatRange):
    """Number range that rejects "nan", which click's range accepts."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number: float = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value!r} is not a number.", param, ctx)
        return number


MODEL = click.option(
    "--model",
    metavar="MODEL",
    help="A folder, a run (also by its name below ./runs), a hub name, or tiny or tiny-warm (embedded). Default: tiny.",
)
DEVICE = click.option("--device", metavar="DEVICE", help="auto, cpu, cuda or cuda:N; the same as --set model.device=DEVICE.")
DTYPE = click.option(
    "--dtype",
    type=click.Choice(["float32", "bfloat16"]),
    help="Data type of the weights; bfloat16 halves memory. The same as --set model.dtype=DTYPE.",
)
PRESET = click.option(
    "--preset", metavar="NAME", help="A configuration that ships with the package; see `tina-azr config presets`."
)
CONFIG = click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="YAML file, over the preset if there is one; see `tina-azr config show`.",
)
OVERRIDES = click.option(
    "--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE", help="Replace one value; may be given several times."
)
SYSTEM = click.option("--system", metavar="TEXT", help="A system message.")
BUDGET = click.option(
    "--budget",
    default="auto",
    show_default=True,
    metavar="N|auto|low|medium|high",
    help="Think tokens, or a quantile of the forecast.",
)
SAMPLING = (
    click.option("--temperature", type=NumberRange(0, 10), metavar="T", help="0 is greedy. Default: the model's own."),
    click.option("--top-p", type=NumberRange(0, 1, min_open=True), metavar="P", help="Share of probability that is kept."),
    click.option("--max-tokens", type=click.IntRange(min=1), metavar="N", help="Most tokens, reasoning and answer together."),
)
EFFORTS: dict[str, float | None] = {"auto": None, **EFFORT_QUANTILES}
"""Quantile of the forecast for each named budget; `auto` leaves the choice to the engine."""
MAX_BUDGET = 1_000_000


def config_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add `--preset`, `--config` and `--set` to a command, as `preset`, `config_file` and `overrides`."""
    for add in (OVERRIDES, CONFIG, PRESET):
        command = add(command)
    return command


def model_config(
    preset: str | None,
    config_file: Path | None,
    overrides: tuple[str, ...],
    *,
    model: str | None,
    device: str | None,
    dtype: str | None,
) -> "Config":
    """Resolve the configuration of a command that opens a model. Its own flags win over `--set`. Raises ConfigError."""
    from tina_azr.config import Flag, load_config

    flags = (Flag("--model", "model.name", model), Flag("--device", "model.device", device), Flag("--dtype", "model.dtype", dtype))
    config = load_config(config_file, (*overrides, *(flag for flag in flags if flag.value is not None)), preset=preset)
    if not _DEVICE.fullmatch(config.model.device):
        raise ConfigError(f"device {config.model.device!r}: give auto, cpu, cuda or cuda:N")
    return config


def names_embedded(config: "Config") -> bool:
    """Return whether the model is the embedded one, which cannot hold a conversation."""
    return config.model.name == EMBEDDED


def sampling_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add `SAMPLING` to a command."""
    for add in reversed(SAMPLING):
        command = add(command)
    return command


def budget_of(text: str) -> tuple[int | None, float | None]:
    """Parse a budget and return (think tokens, quantile of the forecast). Raises ConfigError for anything else."""
    if text in EFFORTS:
        return None, EFFORTS[text]
    if re.fullmatch(r"[0-9]{1,7}", text) and int(text) <= MAX_BUDGET:
        return int(text), None
    raise ConfigError(f"budget {text!r}: give a number of think tokens up to {MAX_BUDGET:,}, or one of {', '.join(EFFORTS)}")


def example_for(model: str) -> str | None:
    """Return `EXAMPLE` for the embedded model and models trained from it; None for others, and for models not on this machine."""
    from tina_azr.engine.loading import model_folder
    from tina_azr.model.loading import find_folder, is_hub_name, prompt_set
    from tina_azr.text.style import PromptStyle

    name = model_folder(model)
    return EXAMPLE if not is_hub_name(name) and prompt_set(find_folder(name)) is PromptStyle.COMPACT else None


def open_chat_engine(
    config: "Config", notify: Callable[[str], None], *, tags: tuple[str, ...] = (), shown: bool = True
) -> "IntrospectiveEngine":
    """Open the engine of a configuration. Requests may ask for its reasoning. `notify` gets each reason to doubt its heads.

    Tokens between each pair of `tags` are counted. `shown`: a terminal shows that the model is being loaded.
    """
    device = config.model.device
    from tina_azr.cli.console import loading

    with loading(config.model.name, shown=shown), warnings.catch_warnings():
        import torch

        if device.startswith("cuda") and not torch.cuda.is_available():
            raise ConfigError(f"device {device!r}: torch sees no GPU here; --device cpu or auto")
        from tina_azr.engine.engine import IntrospectionWarning
        from tina_azr.engine.loading import open_configured
        from tina_azr.engine.settings import engine_settings

        warnings.simplefilter("ignore", IntrospectionWarning)  # passed to `notify` below
        engine = open_configured(config, engine_settings(config, allow_visible=True, tags=tags))
    for note in engine.notes:
        notify(note)
    return engine
