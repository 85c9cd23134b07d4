"""From a configuration to the parts of a run: what plays, what checks, what remembers, what learns, what it is measured on."""

from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

import torch

from tina_azr.config import Config
from tina_azr.model.loading import Policy, load_policy, prompt_style
from tina_azr.rollout import build_engine
from tina_azr.rollout.types import RolloutEngine
from tina_azr.sandbox.opening import open_sandbox
from tina_azr.selfplay.episode import CountingExecutor, SelfPlay
from tina_azr.selfplay.insight import Insights
from tina_azr.tasks.buffer import TaskBuffer
from tina_azr.tasks.heldout import HeldoutTask, heldout_keys, load_heldout, take_per_cell
from tina_azr.tasks.seeds import load_seeds
from tina_azr.text.style import PromptStyle
from tina_azr.train.checkpoint import Checkpoint
from tina_azr.train.heads import HeadLearner
from tina_azr.train.learner import Learner
from tina_azr.train.run_folder import RunFolder

EMBEDDED_SETS = ("report", "choose")
"""Held-out sets in the package. No proposal may be a task of either, whichever is evaluated on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """One run's parts, wired."""

    policy: Policy
    engine: RolloutEngine
    executor: CountingExecutor
    buffer: TaskBuffer
    selfplay: SelfPlay
    learner: Learner
    heldout: tuple[HeldoutTask, ...]
    """What accuracy is measured on; empty: it is not measured."""
    heads: HeadLearner | None = None
    """None where the run trains none."""


def assemble(config: Config, run: RunFolder, checkpoint: Checkpoint | None) -> Parts:
    """New parts, or those of a checkpoint to which `run` has been rewound."""
    if config.run.threads:
        torch.set_num_threads(config.run.threads)
    policy = load_policy(
        config.model.name if checkpoint is None else str(checkpoint.model_folder),
        device=config.model.device,
        dtype=config.model.dtype,
        style=prompt_style(config.model),
    )
    # The engine first: it lays the weights out anew, and the learner is to hold what it decodes with.
    heads = HeadLearner(policy, config) if config.introspection.train_heads else None
    engine = build_engine(policy, config.selfplay.backend, slots=config.selfplay.slots, taps=heads.taps if heads else ())
    executor = open_sandbox(config.sandbox)
    heldout, excluded = load_heldout_sets(config)
    buffer = open_buffer(config, run, policy.style, is_new=checkpoint is None)
    learner = Learner(policy, config)
    if checkpoint is not None:
        checkpoint.restore_learner(learner, heads)
    insight = Insights(policy, engine, executor, heads.introspector, config, heads) if heads else None
    return Parts(
        policy=policy,
        engine=engine,
        executor=executor,
        buffer=buffer,
        selfplay=SelfPlay(policy, engine, executor, buffer, config, held_out_keys=excluded, insight=insight),
        learner=learner,
        heads=heads,
        heldout=heldout,
    )


def open_buffer(config: Config, run: RunFolder, style: PromptStyle, *, is_new: bool) -> TaskBuffer:
    """The run's task buffer: made with the seeds of the prompt set, or the one that the checkpoint left."""
    if is_new:
        return TaskBuffer.create(run.tasks_file, config.tasks, load_seeds(style))
    return TaskBuffer.open(run.tasks_file, config.tasks)


def load_heldout_sets(config: Config) -> tuple[tuple[HeldoutTask, ...], frozenset[str]]:
    """The tasks to evaluate on, and the keys that no proposal may have."""
    embedded = {name: _embedded_heldout(name) for name in EMBEDDED_SETS}
    chosen = load_heldout(Path(config.heldout.path)) if config.heldout.path else embedded[config.heldout.which]
    return take_per_cell(chosen, config.heldout.per_cell), heldout_keys(chosen, *embedded.values())


def _embedded_heldout(name: str) -> tuple[HeldoutTask, ...]:
    with as_file(files("tina_azr").joinpath("assets", "tiny", f"heldout_{name}.jsonl")) as path:
        return load_heldout(path)
