"""Decode engine: eager code, tuned for a CPU, correct for any Qwen3. Its weights are those of the module (`model.fused`).

This module decodes whole batches; `session.DecodeSession` runs them, and is what a server keeps open.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from tina_azr.errors import ModelError
from tina_azr.model.loading import Policy
from tina_azr.rollout.session import DecodeSession
from tina_azr.rollout.types import Completion, CompletionGroup, PromptHook, RolloutRequest

REFILL_SHARE = 0.25
"""Share of slots that must be free before waiting prompts are prefilled: few large prefills, not many small ones."""


class DecodeEngine:
    """Decode engine for whole batches. Implements `RolloutEngine`. Not thread-safe."""

    def __init__(self, policy: Policy, *, slots: int = 128, taps: Sequence[int] = ()) -> None:
        """Set up the engine. `taps`: decoder layers, counted from 0, whose states are returned with groups and completions."""
        self._policy = policy
        self._slots = slots
        self._taps = tuple(taps)

    def generate(
        self,
        requests: Sequence[RolloutRequest],
        on_progress: Callable[[int, int], None] | None = None,
        *,
        on_prompts: PromptHook | None = None,
    ) -> list[CompletionGroup]:
        """Return groups in the order of `requests`. Raises ModelError for a request that does not fit the model.

        `on_prompts` may set a think limit for each prompt from its tapped states; it is called with indices into `requests`.
        """
        if on_prompts is not None and not self._taps:
            raise ModelError(
                "this decode engine has no taps, so no think limit can depend on the states of a prompt: construct it with `taps`"
            )
        order = sorted(range(len(requests)), key=lambda number: len(requests[number].prompt_ids))
        number_of: dict[int, int] = {}

        def hook(tickets: Sequence[int], states_NLH: NDArray[np.float32]) -> Sequence[int | None]:
            assert on_prompts is not None
            return on_prompts([number_of[ticket] for ticket in tickets], states_NLH)

        session = DecodeSession(
            self._policy,
            slots=self._slots,
            taps=self._taps,
            on_prompts=hook if on_prompts else None,
            refill_share=REFILL_SHARE,
        )
        # Short prompts first: the prompts of a KV batch are padded to its longest.
        for number in order:
            number_of[session.submit(requests[number])] = number
        total, finished = sum(request.group_size for request in requests), 0
        done: list[dict[int, Completion]] = [{} for _ in requests]
        states: dict[int, NDArray[np.float32] | None] = {}
        while session.busy:
            report = session.step()
            states.update((number_of[ticket], state) for ticket, state in report.prompts)
            for one in report.ended:
                done[number_of[one.ticket]][one.index] = one.completion
            if report.ended:
                finished += len(report.ended)
            if on_progress:
                on_progress(finished, total)
        return [
            CompletionGroup(
                prompt_ids=request.prompt_ids,
                completions_G=tuple(group[index] for index in range(request.group_size)),
                prompt_states_LH=states[number],
            )
            for number, (request, group) in enumerate(zip(requests, done, strict=True))
        ]
