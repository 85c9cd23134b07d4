"""Reference engine: transformers' `generate` behind the `RolloutEngine` protocol. Benchmarks and tests compare the decode engine with it.

It is slow, has no think limit, and is seeded for a whole call: a completion depends on its neighbours in the batch.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tina_azr.errors import ModelError
from tina_azr.model.loading import Policy
from tina_azr.rollout.types import Completion, CompletionGroup, PromptHook, RolloutRequest, StopCause
from tina_azr.text.tags import reasoning_length


class HFGenerate:
    """Engine over `generate`. Implements `RolloutEngine`. Raises ModelError for requests with parameters that `generate` lacks."""

    def __init__(self, policy: Policy, *, slots: int = 128) -> None:
        self._policy = policy
        self._slots = slots

    @torch.inference_mode()
    def generate(
        self,
        requests: Sequence[RolloutRequest],
        on_progress: Callable[[int, int], None] | None = None,
        *,
        on_prompts: PromptHook | None = None,
    ) -> list[CompletionGroup]:
        """Call `generate` for each run of requests with equal parameters that fits the slots."""
        if on_prompts is not None:
            raise ModelError("`generate` has no taps and no think limit: use DecodeEngine")
        groups: list[CompletionGroup] = []
        total, start = sum(request.group_size for request in requests), 0
        while start < len(requests):
            stop, rows = start, 0
            while stop < len(requests) and requests[stop].params == requests[start].params:
                if rows and rows + requests[stop].group_size > self._slots:
                    break
                rows += requests[stop].group_size
                stop += 1
            groups += self._batch(requests[start:stop])
            start = stop
            if on_progress:
                on_progress(sum(len(group.completions_G) for group in groups), total)
        return groups

    def _batch(self, requests: Sequence[RolloutRequest]) -> list[CompletionGroup]:
        params, tokenizer, module = requests[0].params, self._policy.tokenizer, self._policy.module
        if params.think_limit is not None:
            raise ModelError("`generate` has no think limit: use DecodeEngine, or think_limit None")
        if params.min_think:
            raise ModelError("`generate` has no least reasoning length: use DecodeEngine, or min_think 0")
        if params.tagless_answer:
            raise ModelError("`generate` cannot keep think tags out of an answer: use DecodeEngine, or tagless_answer False")
        prompts = [request.prompt_ids for request in requests for _ in range(request.group_size)]
        width = max(map(len, prompts))
        ids = torch.full((len(prompts), width), tokenizer.pad_id)
        mask = torch.zeros_like(ids)
        for row, prompt in enumerate(prompts):
            ids[row, width - len(prompt) :] = torch.tensor(prompt)
            mask[row, width - len(prompt) :] = 1
        torch.manual_seed(requests[0].seed & 0x7FFF_FFFF_FFFF_FFFF)
        sampling: dict[str, Any] = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None, "min_p": None}
        if params.temperature > 0:
            sampling = {"do_sample": True, **{name: getattr(params, name) for name in ("temperature", "top_p", "top_k", "min_p")}}
        stop_ids = [*tokenizer.stop_ids, *params.stop_ids]
        # transformers' annotations fit neither its own keyword arguments nor what it returns for them.
        untyped: Any = module
        out = untyped.generate(
            input_ids=ids.to(self._policy.device),
            attention_mask=mask.to(self._policy.device),
            max_new_tokens=params.max_tokens,
            eos_token_id=stop_ids,
            pad_token_id=tokenizer.pad_id,
            return_dict_in_generate=True,
            output_logits=True,
            **sampling,
        )
        logits = torch.stack(out.logits, dim=1).float() / (params.temperature or 1.0)
        tokens = out.sequences[:, width:].cpu()
        logprobs = logits.log_softmax(-1).cpu().gather(2, tokens[:, :, None])[:, :, 0]
        completions = iter([self._completion(tokens[row].numpy(), logprobs[row].numpy(), stop_ids) for row in range(len(prompts))])
        return [
            CompletionGroup(
                prompt_ids=request.prompt_ids, completions_G=tuple(next(completions) for _ in range(request.group_size))
            )
            for request in requests
        ]

    def _completion(self, ids: NDArray[np.int64], logprobs: NDArray[np.float32], stop_ids: Sequence[int]) -> Completion:
        stops = np.flatnonzero(np.isin(ids, stop_ids))
        length = int(stops[0]) + 1 if len(stops) else len(ids)
        kept_T = ids[:length].astype(np.int64)
        return Completion(
            ids_T=kept_T,
            logprobs_T=logprobs[:length].astype(np.float32),
            forced_T=np.zeros(length, dtype=np.bool_),
            stop_cause=StopCause.STOP_ID if len(stops) else StopCause.LENGTH,
            think_tokens=reasoning_length(kept_T, self._policy.tokenizer.think_close_id),
            forced_close=False,
        )
