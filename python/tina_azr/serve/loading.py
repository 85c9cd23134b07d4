"""From a configuration to what `build_app` takes: the engine, and what clients are told of it."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import torch

from tina_azr.config import Config
from tina_azr.engine.engine import IntrospectiveEngine
from tina_azr.engine.loading import open_configured
from tina_azr.model.loading import EMBEDDED
from tina_azr.serve.types import CalibrationCard, Defaults, ServedModel
from tina_azr.text.style import PromptStyle

EMBEDDED_NOTE = (
    "{name} is the model that ships inside, a scale model of 1.1 million parameters. It knows small Python programs in the fixed words of "
    "self-play and cannot hold a conversation: its answers to anything else are nonsense. For a real one: "
    "tina-azr serve --model Qwen/Qwen3-4B-Thinking-2507, or a folder, or a run."
)


DESCENDANT_NOTE = (
    "{name} was trained from the model that ships inside tina-azr. It knows small Python programs in the fixed words of self-play and "
    "cannot hold a conversation: its answers to anything else are nonsense."
)


def open_for_serving(config: Config) -> IntrospectiveEngine:
    """The engine of a configuration. Raises what `open_engine` raises."""
    # So small a model is slower on two threads than on one, and far slower where the machine has other work.
    threads = config.run.threads or (1 if config.model.name in EMBEDDED else 0)
    if threads:
        torch.set_num_threads(threads)
    return open_configured(config)


def describe(engine: IntrospectiveEngine, name: str, now: datetime) -> ServedModel:
    """What clients are told. A path of this machine is told by its last part alone."""
    settings = engine.settings
    shown = Path(name).expanduser().resolve().name if Path(name).expanduser().is_dir() else name
    return ServedModel(
        name=shown,
        embedded=name in EMBEDDED,
        note=_note(engine, shown, engine.notes),
        context_limit=engine.context_limit,
        defaults=Defaults(
            max_tokens=settings.max_tokens,
            max_think_tokens=settings.budget.max_think_tokens,
            temperature=settings.temperature,
            top_p=settings.top_p,
            top_k=settings.top_k,
        ),
        heads=engine.introspector is not None,
        calibration=_card(engine),
        prompts=engine.policy.style,
        created=int(now.timestamp()),
    )


def _note(engine: IntrospectiveEngine, name: str, doubts: Sequence[str]) -> str:
    if name in EMBEDDED:
        said = EMBEDDED_NOTE.format(name=name)
    elif engine.policy.style is PromptStyle.COMPACT:
        said = DESCENDANT_NOTE.format(name=name)
    else:
        parameters = sum(parameter.numel() for parameter in engine.policy.module.parameters())
        said = f"{name}: a thinking model of {parameters / 1e9:.2g} billion parameters."
    if engine.introspector is None:
        said += " It has no heads, so it forecasts neither budget nor confidence."
    return " ".join((said, *doubts))


def _card(engine: IntrospectiveEngine) -> CalibrationCard:
    """Of the confidence after thinking, which is the one that an answer is judged by."""
    if engine.introspector is None or engine.calibration_digest is None:
        return CalibrationCard()
    calibration = engine.introspector.calibration
    ece = calibration.cE.scores.get("ece")
    return CalibrationCard(
        digest=engine.calibration_digest,
        n=calibration.cE.pooled.n,
        ece=None if ece is None else ece.after.value,
        date=None if calibration.date is None else calibration.date.isoformat(),
    )
