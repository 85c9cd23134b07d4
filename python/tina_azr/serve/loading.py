"""Loading of a served model: its engine, and its description for clients."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

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
    """Open the engine of a configuration. Raises what `open_engine` raises."""
    return open_configured(config)


def describe(engine: IntrospectiveEngine, name: str, now: datetime) -> ServedModel:
    """Return the description of a model for clients. It shows only the last part of a path on this machine."""
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
        note = EMBEDDED_NOTE.format(name=name)
    elif engine.policy.style is PromptStyle.COMPACT:
        note = DESCENDANT_NOTE.format(name=name)
    else:
        parameters = sum(parameter.numel() for parameter in engine.policy.module.parameters())
        note = f"{name}: a thinking model of {parameters / 1e9:.2g} billion parameters."
    if engine.introspector is None:
        note += " It has no heads, so it forecasts neither budget nor confidence."
    return " ".join((note, *doubts))


def _card(engine: IntrospectiveEngine) -> CalibrationCard:
    """Describe the calibration of the confidence after reasoning, which decides whether an answer is marked `abstain`."""
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
