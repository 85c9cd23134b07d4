"""Assembly of a run's parts from its configuration: policy, engine, sandbox, task buffer, self-play, learner, held-out set."""

from dataclasses import dataclass

import torch

from tina_azr.config import Config
from tina_azr.model.loading import Policy, load_policy, prompt_style
from tina_azr.rollout.decode import DecodeEngine
from tina_azr.rollout.types import RolloutEngine
from tina_azr.runs.checkpoint import Checkpoint
from tina_azr.runs.folder import RunFolder
from tina_azr.sandbox.opening import open_sandbox
from tina_azr.selfplay.episode import RunExecutor, SelfPlay
from tina_azr.selfplay.introspection import SelfPlayIntrospection
from tina_azr.tasks.buffer import TaskBuffer
from tina_azr.tasks.heldout import load_heldout_sets
from tina_azr.tasks.seeds import load_seeds
from tina_azr.tasks.types import HeldoutTask
from tina_azr.text.style import PromptStyle
from tina_azr.train.heads.learner import HeadLearner
from tina_azr.train.learner import Learner


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Parts of one run, connected."""

    policy: Policy
    engine: RolloutEngine
    executor: RunExecutor
    buffer: TaskBuffer
    selfplay: SelfPlay
    learner: Learner
    heldout: tuple[HeldoutTask, ...]
    """Tasks that accuracy is measured on; empty: it is not measured."""
    heads: HeadLearner | None = None
    """None where the run trains none."""


def assemble(config: Config, run: RunFolder, checkpoint: Checkpoint | None) -> Parts:
    """Make new parts, or load those of a checkpoint to which `run` has been rewound."""
    if config.run.threads:
        torch.set_num_threads(config.run.threads)
    policy = load_policy(
        config.model.name if checkpoint is None else str(checkpoint.model_folder),
        device=config.model.device,
        dtype=config.model.dtype,
        style=prompt_style(config.model),
    )
    # The engine first: it moves the weights into fused storage, and the learner must hold that storage.
    heads = HeadLearner(policy, config) if config.introspection.heads else None
    engine = DecodeEngine(policy, slots=config.selfplay.slots, taps=heads.taps if heads else ())
    executor = open_sandbox(config.sandbox)
    heldout, excluded = load_heldout_sets(config)
    buffer = open_buffer(config, run, policy.style, is_new=checkpoint is None, image=executor.image_digest)
    learner = Learner(policy, config)
    if checkpoint is not None:
        checkpoint.restore_learner(learner, heads)
    introspection = SelfPlayIntrospection(policy, engine, executor, heads.introspector, config, heads) if heads else None
    return Parts(
        policy=policy,
        engine=engine,
        executor=executor,
        buffer=buffer,
        selfplay=SelfPlay(policy, engine, executor, buffer, config, held_out_keys=excluded, introspection=introspection),
        learner=learner,
        heads=heads,
        heldout=heldout,
    )


def open_buffer(config: Config, run: RunFolder, style: PromptStyle, *, is_new: bool, image: str = "") -> TaskBuffer:
    """Create the run's task buffer with the seeds of the prompt set, or open the one that the checkpoint left.

    `image`: digest of the sandbox images, recorded with every new task.
    """
    if is_new:
        return TaskBuffer.create(run.tasks_file, config.tasks, load_seeds(style), image=image)
    return TaskBuffer.open(run.tasks_file, config.tasks, image=image)
