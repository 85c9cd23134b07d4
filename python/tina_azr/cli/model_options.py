"""The model that a command speaks with: its options, and its opening with a word on what it can do."""

import math
import re
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from tina_azr.errors import ConfigError
from tina_azr.introspection.budget import EFFORT_QUANTILES

if TYPE_CHECKING:
    from tina_azr.engine.engine import IntrospectiveEngine

EMBEDDED = "tiny"
EMBEDDED_NOTE = (
    "The embedded model solves small Python tasks put in its few fixed words; it cannot hold a conversation. "
    "A real one: --model Qwen/Qwen3-4B-Thinking-2507, or a folder."
)
EXAMPLE = "Predict the output.\n```python\ndef f(x):\n    y = x * 3\n    return y - 4\n```\n```input\n7\n```\n"
"""A task in the embedded model's words."""
MOST_SEED = (1 << 63) - 1
_DEVICE = re.compile(r"auto|cpu|cuda(:\d+)?")


class NumberRange(click.FloatRange):
    """click's own range lets "nan" through: it is neither below nor above anything."""

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
DEVICE = click.option("--device", default="auto", show_default=True, metavar="DEVICE", help="auto, cpu, cuda or cuda:N.")
DTYPE = click.option(
    "--dtype",
    default="float32",
    show_default=True,
    type=click.Choice(["float32", "bfloat16"]),
    help="Of the weights; bfloat16 halves memory.",
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
    click.option("--max-tokens", type=click.IntRange(min=1), metavar="N", help="Most tokens, thought and answer together."),
)
EFFORTS: dict[str, float | None] = {"auto": None, **EFFORT_QUANTILES}
"""Named budgets -> quantile of the forecast; `auto` leaves it to the engine."""
MOST_BUDGET = 1_000_000


def sampling_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add `SAMPLING` to a command."""
    for add in reversed(SAMPLING):
        command = add(command)
    return command


def budget_of(text: str) -> tuple[int | None, float | None]:
    """(think tokens, quantile of the forecast) of a budget as a user writes it. Raises ConfigError for anything else."""
    if text in EFFORTS:
        return None, EFFORTS[text]
    if re.fullmatch(r"[0-9]{1,7}", text) and int(text) <= MOST_BUDGET:
        return int(text), None
    raise ConfigError(f"budget {text!r}: give a number of think tokens up to {MOST_BUDGET:,}, or one of {', '.join(EFFORTS)}")


def example_for(model: str) -> str | None:
    """`EXAMPLE` for the embedded model and what was trained from it; None for any other, and for what only the hub knows."""
    from tina_azr.engine.loading import model_folder
    from tina_azr.model.loading import find_folder, is_hub_name, prompt_set
    from tina_azr.text.style import PromptStyle

    name = model_folder(model)
    return EXAMPLE if not is_hub_name(name) and prompt_set(find_folder(name)) is PromptStyle.COMPACT else None


def open_speaker(
    model: str, device: str, dtype: str, say: Callable[[str], None], *, tags: tuple[str, ...] = (), shown: bool = True
) -> "IntrospectiveEngine":
    """The engine of a model; thoughts may be asked for. `say` gets each reason to doubt what its heads claim.

    Tokens between each pair of `tags` are counted. `shown`: a terminal shows that the model is being loaded.
    """
    if not _DEVICE.fullmatch(device):
        raise ConfigError(f"device {device!r}: give auto, cpu, cuda or cuda:N")
    from tina_azr.cli.console import loading

    with loading(model, shown=shown), warnings.catch_warnings():
        import torch

        if device.startswith("cuda") and not torch.cuda.is_available():
            raise ConfigError(f"device {device!r}: torch sees no GPU here; --device cpu or auto")
        from tina_azr.engine.engine import IntrospectionWarning
        from tina_azr.engine.loading import open_engine
        from tina_azr.engine.settings import EngineSettings

        warnings.simplefilter("ignore", IntrospectionWarning)  # said below, to a person
        engine = open_engine(model, device=device, dtype=dtype, settings=EngineSettings(allow_visible=True, tags=tags))
    for note in engine.notes:
        say(note)
    return engine
