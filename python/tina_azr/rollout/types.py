"""Types of a rollout engine: requests, completions, reports. Axes: `_T` completion tokens, `_G` group, `_L` tapped layers, `_H` hidden."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tina_azr.errors import ModelError


class StopCause(StrEnum):
    """Reason why a completion ended."""

    STOP_ID = "stop_id"
    """The model sampled one of the stop ids. It is kept as the completion's last token."""
    LENGTH = "length"
    """`max_tokens` was reached first."""
    CANCELLED = "cancelled"
    """The completion was cancelled. It may be empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingParams:
    """Sampling parameters of one group. Temperature 0 is greedy. Raises ModelError for values out of range."""

    max_tokens: int
    """Most completion tokens: reasoning, forced ids and answer."""
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    """0 keeps the whole vocabulary."""
    min_p: float = 0.0
    """Ids that are less probable than this share of the most probable one are dropped. 0 keeps all."""
    min_think: int = 0
    """`</think>` cannot be sampled before this many think tokens."""
    tagless_answer: bool = False
    """No think tag can be sampled in the answer. Without this, a model whose reasoning was cut may continue it in the answer."""
    stop_ids: tuple[int, ...] = ()
    """Ids that end a completion, in addition to the model's own."""
    think_limit: int | None = None
    """Think tokens after which the closing ids are forced. None: no limit. 0: answer without reasoning."""

    def __post_init__(self) -> None:
        # Requests share a batch, so a faulty one has to be refused before it can stop the others.
        bounds = (
            ("temperature", 0.0 <= self.temperature < math.inf, "0 (greedy) or more"),
            ("top_p", 0.0 < self.top_p <= 1.0, "above 0 and at most 1"),
            ("top_k", self.top_k >= 0, "0 (all) or more"),
            ("min_p", 0.0 <= self.min_p <= 1.0, "between 0 and 1"),
            ("think_limit", self.think_limit is None or self.think_limit >= 0, "0 (no reasoning) or more"),
        )
        for name, is_good, wanted in bounds:
            if not is_good:
                raise ModelError(f"{name} is {getattr(self, name):g}, but must be {wanted}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutRequest:
    """Prompt, and the number of completions of it."""

    prompt_ids: tuple[int, ...]
    """Prompt ids. They end inside the reasoning: the template has written `<think>`."""
    group_size: int
    params: SamplingParams
    seed: int
    """Seed. Completion g depends only on (weights, prompt, params, seed, g), not on the rest of the batch."""

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 1 << 63:
            raise ModelError(f"the seed {self.seed} is out of range: it must be from 0 to 2^63 - 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """Sampled continuation of a prompt. The ids are the same from sampling to loss: they are never decoded and encoded again."""

    ids_T: NDArray[np.int64]
    """Token ids, the stop id included."""
    logprobs_T: NDArray[np.float32]
    """Log-probability of each id at the sampling temperature, before top-p, top-k and min-p, among the ids that `min_think` and
    `tagless_answer` allow. 0 where forced."""
    forced_T: NDArray[np.bool_]
    """Mask of the forced ids. They are excluded from every loss."""
    stop_cause: StopCause
    think_tokens: int
    """Ids before the first `</think>`; all of them if there is none."""
    forced_close: bool
    """Whether the closing ids were forced, at the think limit or because a client asked for the answer."""
    close_states_LH: NDArray[np.float32] | None = None
    """Tapped residual stream at `</think>`; None without taps, or if it was not read before the completion ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletionGroup:
    """All completions of one request."""

    prompt_ids: tuple[int, ...]
    completions_G: tuple[Completion, ...]
    prompt_states_LH: NDArray[np.float32] | None = None
    """Tapped residual stream at the last prompt token, before the first token of reasoning; None without taps."""


PromptHook = Callable[[Sequence[int], NDArray[np.float32]], Sequence[int | None]]
"""Numbers of N requests and their tapped states [N, L, H] -> think limit of each. None keeps that of the request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """Token of a completion that is followed."""

    ticket: int
    index: int
    id: int
    logprob: float
    forced: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedCompletion:
    """Completion that has ended, with its request."""

    ticket: int
    index: int
    completion: Completion


@dataclass(slots=True, kw_only=True)
class StepReport:
    """Results of one decode step."""

    prompts: list[tuple[int, NDArray[np.float32] | None]] = field(default_factory=list)
    """Tickets whose prefill is done, with the tapped states of the prompt."""
    tokens: list[Token] = field(default_factory=list)
    """New tokens of requests submitted with `follow`."""
    closed: list[tuple[int, int, NDArray[np.float32]]] = field(default_factory=list)
    """Ticket, index and tapped states of followed completions whose `</think>` was read in this step."""
    ended: list[FinishedCompletion] = field(default_factory=list)


class RolloutEngine(Protocol):
    """Interface of engines that sample completions."""

    def generate(
        self,
        requests: Sequence[RolloutRequest],
        on_progress: Callable[[int, int], None] | None = None,
        *,
        on_prompts: PromptHook | None = None,
    ) -> list[CompletionGroup]:
        """Return groups in the order of `requests`. `on_progress(done, total)` counts completions.

        `on_prompts` chooses the think limit of a prompt. It is called after the prefill, before anything is sampled. An engine without
        taps raises ModelError if it is given.
        """
        ...
