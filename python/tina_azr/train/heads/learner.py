"""On-policy training of the heads, beside the policy's and apart from it: states come in detached, so no gradient crosses either way.

All configured forms learn from the same labels; the first is the primary one. With `calibration_surprise`, two further heads learn from
one half of the tasks each and forecast the other half. Everything drawn here is drawn from (seed, step): a resumed run learns the same.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tina_azr.config import Config
from tina_azr.errors import CheckpointError
from tina_azr.introspection.heads import HeadShape, build_heads
from tina_azr.introspection.heads_file import AnyHeads
from tina_azr.introspection.introspector import Introspector
from tina_azr.model.loading import Policy
from tina_azr.model.taps import choose_taps
from tina_azr.selfplay.seeding import RandomStream, generator
from tina_azr.selfplay.types import RolloutGroup
from tina_azr.tasks.types import Task
from tina_azr.train.heads.labels import HeadLabels, fold_of, is_calibration
from tina_azr.train.heads.losses import budget_loss, confidence_loss, plan_loss

_MOMENTS = ("step", "exp_avg", "exp_avg_sq")
"""AdamW's state of each weight. The count as well: the part that reads `</think>` takes no step if no reasoning closed."""
_FOLDS = ("fold0", "fold1")


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadRecipe:
    """How heads are trained. These numbers never needed a second value, so they are no settings."""

    lr: float = 1e-3
    """AdamW's learning rate."""
    weight_decay: float = 0.05
    """AdamW's decoupled weight decay."""
    averaging: float = 0.98
    """Decay, for each minibatch, of the moving average of the weights, which is what predicts and is saved."""
    updates_per_step: int = 24
    """Minibatches in each step."""
    batch_size: int = 128
    """Prompts in a minibatch."""
    window_steps: int = 16
    """Newest steps whose labels are learned from: older ones are about a policy that is gone."""
    reward_min_labels: int = 512
    """Labels that the heads must have seen before their error counts in a reward."""
    experts: int = 1
    """Sets of output heads that `linked` heads mix; 1: no mixture."""


RECIPE = HeadRecipe()


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadReport:
    """Update of the primary heads: mean losses over its minibatches, and the labels so far."""

    labels: int = 0
    """Prompts with outcomes so far."""
    c0_loss: float = 0.0
    cE_loss: float = 0.0
    budget_loss: float = 0.0
    plan_loss: float = 0.0


class _Fitted:
    """One set of heads with its optimizer."""

    def __init__(self, heads: AnyHeads, recipe: HeadRecipe) -> None:
        self.heads = heads
        self.averaged: AnyHeads = deepcopy(heads).requires_grad_(False)
        """Weights that predict: single minibatches move quantiles by whole tokens."""
        self._averaging = recipe.averaging
        self.optimizer = torch.optim.AdamW(heads.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay)

    def step(self, labels: HeadLabels, tasks: NDArray[np.int64], closes: NDArray[np.int64]) -> NDArray[np.float64]:
        """One minibatch. Returns the four losses: c0, cE, budget, plan."""

        def picked(array: NDArray[np.generic], index: NDArray[np.int64]) -> Tensor:
            return torch.from_numpy(array[index])

        predictions = self.heads.predict(picked(labels.states_NLH, tasks))
        losses = [
            confidence_loss(predictions.c0_logits_N, picked(labels.pass_rate_N, tasks)),
            predictions.c0_logits_N.sum() * 0.0,
            budget_loss(predictions.log_quantiles_NQ, picked(labels.lengths_NG, tasks), picked(labels.censored_NG, tasks)),
            plan_loss(predictions.plan_logits_NP, picked(labels.plan_NP, tasks)),
        ]
        if len(closes):
            logits = self.heads.close_logits(picked(labels.close_states_MLH, closes), picked(labels.close_extras_MX, closes))
            losses[1] = confidence_loss(logits, picked(labels.close_correct_M, closes))
        self.optimizer.zero_grad(set_to_none=True)
        torch.stack(losses).sum().backward()
        self.optimizer.step()
        with torch.no_grad():
            for mean, newest in zip(self.averaged.parameters(), self.heads.parameters(), strict=True):
                mean.lerp_(newest, 1.0 - self._averaging)
        return torch.stack([loss.detach() for loss in losses]).double().numpy()


class HeadLearner:
    """The heads of one run. Implements `selfplay.introspection_rewards.CrossFitted`."""

    def __init__(self, policy: Policy, config: Config, recipe: HeadRecipe | None = None) -> None:
        self._config = config
        self._recipe = recipe = recipe or RECIPE
        settings = config.introspection
        depth, hidden = policy.module.config.num_hidden_layers, policy.module.config.hidden_size
        taps = choose_taps(depth, None if settings.taps == "all" else settings.taps, linked=settings.taps == "all")
        names = (*settings.heads, *(_FOLDS if settings.reward == "calibration_surprise" else ()))
        self._fitted = {
            name: _Fitted(
                build_heads(
                    HeadShape(
                        kind=settings.heads[0] if name in _FOLDS else name,  # type: ignore[arg-type]
                        taps=taps,
                        hidden_size=hidden,
                        width=settings.width,
                        aggregator=settings.aggregator,
                        experts=recipe.experts,
                    ),
                    seed=config.seed * 7 + number,
                ),
                recipe,
            )
            for number, name in enumerate(names)
        }
        self._labels: HeadLabels | None = None
        self._seen = 0
        self.introspector = Introspector(self.heads[settings.heads[0]])

    @property
    def taps(self) -> tuple[int, ...]:
        """Decoder layers that are read."""
        return self.introspector.taps

    @property
    def heads(self) -> dict[str, AnyHeads]:
        """By form; the first is the primary one. The cross-fitted heads are not among them."""
        return {name: self._fitted[name].averaged for name in self._config.introspection.heads}

    @property
    def labels(self) -> int:
        """Prompts with outcomes that the heads have learned from so far."""
        return self._seen

    # What `calibration_surprise` asks.

    @property
    def ready(self) -> bool:
        """They have seen enough labels to be taken seriously."""
        return self._seen >= self._recipe.reward_min_labels

    @torch.inference_mode()
    def c0(self, states_NLH: NDArray[np.float32], tasks_N: Sequence[Task]) -> list[float]:
        """Raw confidence before thinking, of each task by the head that does not know its program."""
        states = torch.from_numpy(states_NLH)
        by_fold = [self._fitted[name].averaged.predict(states).c0_logits_N.sigmoid().tolist() for name in _FOLDS]
        return [by_fold[1 - fold_of(task)][index] for index, task in enumerate(tasks_N)]

    # Learning.

    def update(self, step: int, groups: Sequence[RolloutGroup]) -> HeadReport:
        """Learn from one more step. Tasks of the calibration share are passed over."""
        settings, recipe = self._config.introspection, self._recipe
        new = HeadLabels.of(step, [g for g in groups if not is_calibration(g.task, settings.calibration_share)])
        if new is not None:
            since = step - recipe.window_steps + 1
            self._labels = new if self._labels is None else self._labels.joined(new, since=since)
            self._seen += len(new)
        if self._labels is None or not len(self._labels):
            return HeadReport(labels=self._seen)
        draw = generator(self._config.seed, step, RandomStream.HEADS)
        totals = np.zeros(4)
        for _ in range(recipe.updates_per_step):
            tasks = draw.integers(len(self._labels), size=recipe.batch_size)
            many = len(self._labels.close_step_M)
            closes = draw.integers(many, size=recipe.batch_size) if many else np.empty(0, dtype=np.int64)
            for name, fitted in self._fitted.items():
                if name in _FOLDS:  # only its confidence before reasoning is used
                    own = tasks[self._labels.fold_N[tasks] == _FOLDS.index(name)]
                    if len(own):
                        fitted.step(self._labels, own, closes[:0])
                    continue
                losses = fitted.step(self._labels, tasks, closes)
                totals += losses if name == settings.heads[0] else 0.0
        c0, at_close, budget, plan = (totals / recipe.updates_per_step).tolist()
        return HeadReport(labels=self._seen, c0_loss=c0, cE_loss=at_close, budget_loss=budget, plan_loss=plan)

    # What a checkpoint keeps.

    def state_tensors(self) -> dict[str, Tensor]:
        """Weights, moments and the window of labels."""
        state = {}
        for name, fitted in self._fitted.items():
            for key, parameter in fitted.heads.named_parameters():
                state[f"heads.{name}.weight.{key}"] = parameter.detach()
                state[f"heads.{name}.averaged.{key}"] = fitted.averaged.get_parameter(key)
                moments = fitted.optimizer.state.get(parameter, {})
                state |= {f"heads.{name}.{moment}.{key}": moments[moment] for moment in _MOMENTS if moment in moments}
        if self._labels is not None:
            state |= {f"heads.labels.{key}": torch.from_numpy(array) for key, array in self._labels.arrays().items()}
        return state

    def state_json(self) -> dict[str, object]:
        """How many labels they have seen."""
        return {"labels": self._seen}

    def load_state(self, tensors: Mapping[str, Tensor], state: Mapping[str, object]) -> None:
        """Put back what both gave. Raises CheckpointError for heads of another shape."""
        try:
            for name, fitted in self._fitted.items():
                for key, parameter in fitted.heads.named_parameters():
                    with torch.no_grad():
                        parameter.copy_(tensors[f"heads.{name}.weight.{key}"])
                        fitted.averaged.get_parameter(key).copy_(tensors[f"heads.{name}.averaged.{key}"])
                    if any(f"heads.{name}.{moment}.{key}" in tensors for moment in _MOMENTS):
                        fitted.optimizer.state[parameter] = {
                            moment: tensors[f"heads.{name}.{moment}.{key}"].clone() for moment in _MOMENTS
                        }
            window = {
                key.removeprefix("heads.labels."): tensor.numpy()
                for key, tensor in tensors.items()
                if key.startswith("heads.labels.")
            }
            self._labels = HeadLabels.from_arrays(window) if window else None
            self._seen = int(state["labels"])  # type: ignore[call-overload]
        except (KeyError, RuntimeError) as error:
            raise CheckpointError(f"the checkpoint's heads are of another shape than the configuration's: {error}") from error
