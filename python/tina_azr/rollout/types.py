"""What goes into a rollout engine and what comes out. Axes: `_T` completion tokens, `_G` group, `_L` tapped layers, `_H` hidden."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tina_azr.errors import ModelError


class StopCause(StrEnum):
    """Why a completion ended."""

    STOP_ID = "stop_id"
    """The model sampled one of the stop ids (kept as the completion's last token)."""
    LENGTH = "length"
    """`max_tokens` reached first."""
    CANCELLED = "cancelled"
    """Nobody waits for it any more; it may be empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingParams:
    """How to sample one group. Temperature 0 is greedy. Raises ModelError for numbers that mean nothing."""

    max_tokens: int
    """Most completion tokens, thought and answer and forced ids together."""
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    """0 keeps the whole vocabulary."""
    min_p: float = 0.0
    """Ids less probable than this share of the most probable one are dropped; 0 keeps all."""
    min_think: int = 0
    """`</think>` cannot be sampled before this many think tokens."""
    tagless_answer: bool = False
    """Neither think tag can be sampled after the thought's end: a model that was cut off would else go on thinking in its answer."""
    stop_ids: tuple[int, ...] = ()
    """Ids that end a completion beside the model's own."""
    think_limit: int | None = None
    """After this many think tokens the closing ids are forced; None: no wall. 0 answers without a thought."""

    def __post_init__(self) -> None:
        # Requests share a batch: what is wrong with one has to be found before it can stop the others.
        bounds = (
            ("temperature", 0.0 <= self.temperature < math.inf, "0 (greedy) or more"),
            ("top_p", 0.0 < self.top_p <= 1.0, "above 0 and at most 1"),
            ("top_k", self.top_k >= 0, "0 (all) or more"),
            ("min_p", 0.0 <= self.min_p <= 1.0, "between 0 and 1"),
            ("think_limit", self.think_limit is None or self.think_limit >= 0, "0 (no thought) or more"),
        )
        for name, is_good, wanted in bounds:
            if not is_good:
                raise ModelError(f"{name} is {getattr(self, name):g}, but must be {wanted}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutRequest:
    """One prompt and how many completions of it."""

    prompt_ids: tuple[int, ...]
    """Ends inside the open thought: the template has written `<think>` already."""
    group_size: int
    params: SamplingParams
    seed: int
    """Completion g of this request depends on (weights, prompt, params, seed, g) alone, not on what else is in the batch."""

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 1 << 63:
            raise ModelError(f"the seed {self.seed} is out of bounds: it must lie between 0 and 2^63 - 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """One sampled continuation, as ids from sampling to loss: never decoded and encoded again."""

    ids_T: NDArray[np.int64]
    """Token ids, the stop id included."""
    logprobs_T: NDArray[np.float32]
    """Log-probability of each id at the sampling temperature, before top-p, top-k and min-p cut, among the ids that `min_think` and
    `tagless_answer` leave; 0 where forced."""
    forced_T: NDArray[np.bool_]
    """Ids that the wall put there; out of every loss."""
    stop_cause: StopCause
    think_tokens: int
    """Ids before `</think>`, or all of them if it never came."""
    forced_close: bool
    """The closing ids were forced: at the wall, or because somebody asked for the answer."""
    close_states_LH: NDArray[np.float32] | None = None
    """Tapped residual stream at `</think>`; None without taps, or if it was not read before the completion ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletionGroup:
    """All completions of one request."""

    prompt_ids: tuple[int, ...]
    completions_G: tuple[Completion, ...]
    prompt_states_LH: NDArray[np.float32] | None = None
    """Tapped residual stream at the last prompt token, before the first token of thought; None without taps."""


PromptHook = Callable[[Sequence[int], NDArray[np.float32]], Sequence[int | None]]
"""Numbers of N requests and their tapped states [N, L, H] -> the think wall of each; None leaves the request's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """One token of a completion that is followed."""

    ticket: int
    index: int
    id: int
    logprob: float
    forced: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedCompletion:
    """A completion that is complete."""

    ticket: int
    index: int
    completion: Completion


@dataclass(slots=True, kw_only=True)
class StepReport:
    """What one step brought."""

    prompts: list[tuple[int, NDArray[np.float32] | None]] = field(default_factory=list)
    """Tickets whose prompt is through, with its tapped states."""
    tokens: list[Token] = field(default_factory=list)
    """Of requests submitted with `follow`."""
    closed: list[tuple[int, int, NDArray[np.float32]]] = field(default_factory=list)
    """Ticket, index and tapped states of followed completions whose `</think>` was read in this step."""
    ended: list[FinishedCompletion] = field(default_factory=list)


class RolloutEngine(Protocol):
    """The narrow seam between those who want text and those who decode it."""

    def generate(
        self,
        requests: Sequence[RolloutRequest],
        on_progress: Callable[[int, int], None] | None = None,
        *,
        on_prompts: PromptHook | None = None,
    ) -> list[CompletionGroup]:
        """Groups in the order of `requests`. `on_progress(done, total)` counts completions.

        `on_prompts` is asked, once a prompt is through and before anything is sampled, where its thoughts end at the latest. An engine
        that taps nothing refuses it with a ModelError.
        """
        ...
