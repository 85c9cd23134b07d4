"""Loading of an engine: policy, heads and calibration from one folder, with a warning if they do not belong together."""

import re
from pathlib import Path

import torch

from tina_azr.config import RUNS, Config
from tina_azr.engine.engine import IntrospectiveEngine
from tina_azr.engine.settings import EngineSettings, engine_settings
from tina_azr.errors import ModelError
from tina_azr.introspection.calibration import CALIBRATION, Calibration, tokenizer_digest
from tina_azr.introspection.heads_file import load_heads, weights_digest
from tina_azr.introspection.introspector import Introspector
from tina_azr.model.loading import EMBEDDED, Policy, load_policy, prompt_style
from tina_azr.text.style import PromptStyle

_STEP = re.compile(r"step-(\d+)")
IDENTITY = (
    "side adapters, FiLM and gate are the identity, because nothing trains them yet: they change no number and cost time. "
    "Leave EngineSettings.adapter_rank, film and gate_layer at their defaults"
)


def open_engine(
    model: str,
    *,
    device: str = "auto",
    dtype: str = "float32",
    style: PromptStyle | None = None,
    settings: EngineSettings | None = None,
    calibration: Path | None = None,
    heads: bool = True,
) -> IntrospectiveEngine:
    """Open an engine for `tiny`, a model folder, a run (its folder, or its name below `./runs`) or a hub name.

    `style`: prompt set; None means the one that the model's folder names. Heads and calibration come from the policy's folder.
    `heads=False` leaves them out, and `calibration` names another file.
    Raises ModelError or ConfigError for files that cannot be used. Files that may be wrong cause an IntrospectionWarning.
    """
    policy = load_policy(model_folder(model), device=device, dtype=dtype, style=style)
    introspector, notes = find_introspector(policy, calibration) if heads else (None, [])
    if settings is not None and settings.modulates:
        notes.append(IDENTITY)
    return IntrospectiveEngine(policy, introspector=introspector, settings=settings, notes=notes)


def open_configured(config: Config, settings: EngineSettings | None = None) -> IntrospectiveEngine:
    """Open the engine of a configuration. `settings` replace those of the configuration. Raises what `open_engine` raises.

    Sets the number of torch's threads to `run.threads`, or to 1 for an embedded model.
    """
    # The embedded model is slower on two threads than on one, and far slower if the machine has other work.
    if threads := config.run.threads or int(config.model.name in EMBEDDED):
        torch.set_num_threads(threads)
    calibration = config.introspection.calibration
    return open_engine(
        config.model.name,
        device=config.model.device,
        dtype=config.model.dtype,
        style=prompt_style(config.model),
        settings=settings or engine_settings(config),
        calibration=None if calibration is None else Path(calibration).expanduser(),
    )


def model_folder(model: str) -> str:
    """Return the model of a run's newest checkpoint, or `model` itself if it does not name a run.

    A run is named by its folder, or by its name below `./runs`. An embedded model or an existing folder of that name wins over a run.
    Raises ModelError for a run without a checkpoint.
    """
    folder = Path(model).expanduser()
    if model not in EMBEDDED and not folder.exists() and folder.name == model:
        folder = RUNS / model
    checkpoints = folder / "checkpoints"
    if not checkpoints.is_dir():
        return model
    steps = _steps(checkpoints, "model")
    if not steps:
        raise ModelError(f"{model} is a run without a checkpoint yet: resume it until it has one, or name a model")
    return str(checkpoints / f"step-{steps[-1]}" / "model")


def find_introspector(policy: Policy, calibration: Path | None = None) -> tuple[Introspector | None, list[str]]:
    """Return the heads and calibration in a policy's folder, and the reasons to doubt them.

    Raises ModelError if the heads were made for a model of another size.
    """
    stored = load_heads(policy.folder)
    if stored is None:
        return None, []
    shape, config = stored.heads.shape, policy.module.config
    if shape.hidden_size != config.hidden_size or shape.taps[-1] >= config.num_hidden_layers:
        raise ModelError(
            f"the heads in {policy.folder} read layers {list(shape.taps)} of {shape.hidden_size} features, the model has "
            f"{config.num_hidden_layers} layers of {config.hidden_size}: they belong to another model. Remove them, or fit new ones"
        )
    path = calibration or policy.folder / CALIBRATION
    fitted = Calibration.load(path) if calibration or path.is_file() else None
    digest = weights_digest(policy.module)
    notes = []
    if not stored.facts.labels:
        notes.append(f"the heads in {policy.folder} have not been trained yet: their forecasts mean nothing. Resume the run")
    if stored.facts.policy_digest != digest:
        notes.append(
            f"the heads in {policy.folder} were fitted to other weights (policy {stored.facts.policy_digest}, this one is {digest}): "
            "forecasts may be wrong. Fit them again with `tina-azr calibrate --refit`"
        )
    if fitted is not None:
        notes += fitted.mismatches(
            policy_digest=digest, heads_digest=stored.digest, tokenizer_digest=tokenizer_digest(policy.folder)
        )
    elif older := _calibrated_before(policy.folder):
        names = ", ".join(f"step-{step}" for step in older)
        notes.append(
            f"the heads in {policy.folder} are not calibrated, but those of {names} are: the run has continued since. "
            "Fit a calibration with `tina-azr calibrate`"
        )
    return Introspector(stored.heads, fitted), notes


def _calibrated_before(folder: Path) -> list[int]:
    """Return the steps of the run's earlier checkpoints that have a calibration. Empty if `folder` is not in a checkpoint."""
    own = _STEP.fullmatch(folder.parent.name)
    if own is None:
        return []
    return [step for step in _steps(folder.parent.parent, f"{folder.name}/{CALIBRATION}") if step < int(own[1])]


def _steps(checkpoints: Path, held: str) -> list[int]:
    """Return the steps of the checkpoints that contain the file or folder `held`, ascending."""
    named = ((_STEP.fullmatch(path.name), path) for path in checkpoints.glob("step-*"))
    return sorted(int(step[1]) for step, path in named if step is not None and (path / held).exists())
