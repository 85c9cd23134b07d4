"""Scheduling of a decode session: which waiting completions get slots, and when."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from tina_azr.errors import ModelError
from tina_azr.rollout.types import RolloutRequest

FEW_SHARE = 0.25
"""Waiting prompts are a small batch if there are fewer of them than this share of the running rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Completions of one request that are admitted together: all of them, or as many as there are slots."""

    ticket: int
    request: RolloutRequest
    indices: range
    tokens: int
    """KV cache positions that it may need at most."""


class Scheduler:
    """Queue of the completions that have no slot yet."""

    def __init__(self, slots: int, *, refill_share: float, patience: int, kv_tokens: int | None, tickets_after: int) -> None:
        """Make an empty queue. `DecodeSession` explains the arguments."""
        self._capacity = slots
        self._refill = refill_share * slots
        self._patience = patience
        self._waited = 0
        self._kv_tokens = kv_tokens
        self._queue: deque[Block] = deque()
        self.newest_ticket = tickets_after

    def submit(self, request: RolloutRequest) -> int:
        """Queue a request that `check_request` has accepted, and return its ticket."""
        self.newest_ticket += 1
        each = tokens_of(request)
        at_once = min(self._capacity, (self._kv_tokens or each * self._capacity) // each)
        for start in range(0, request.group_size, at_once):
            indices = range(start, min(start + at_once, request.group_size))
            self._queue.append(Block(ticket=self.newest_ticket, request=request, indices=indices, tokens=each * len(indices)))
        return self.newest_ticket

    def remove(self, ticket: int) -> list[int]:
        """Remove a request from the queue. Returns the indices of its completions that were waiting."""
        removed = [block for block in self._queue if block.ticket == ticket]
        for block in removed:
            self._queue.remove(block)
        return [index for block in removed for index in block.indices]

    @property
    def waiting(self) -> int:
        """Number of completions that have no slot yet."""
        return sum(len(block.indices) for block in self._queue)

    def admit(self, running: int, requests: Sequence[RolloutRequest]) -> list[Block]:
        """Take the blocks from the queue that are prefilled now; none if it is better to wait.

        `running`: number of rows that have not ended. `requests`: the request of each of them; needed only with a bound on the KV cache.
        """
        free, held = self._capacity - running, sum(map(tokens_of, requests))
        if not self._queue or not self._fits(self._queue[0], free, held) or (running and free < self._refill):
            return []
        if len(self._queue) < FEW_SHARE * running and self._waited < self._patience:
            self._waited += 1
            return []
        self._waited = 0
        blocks: list[Block] = []
        while self._queue and self._fits(self._queue[0], free, held):
            blocks.append(self._queue.popleft())
            free, held = free - len(blocks[-1].indices), held + blocks[-1].tokens
        return blocks

    def _fits(self, block: Block, free: int, held: int) -> bool:
        return len(block.indices) <= free and (self._kv_tokens is None or held + block.tokens <= self._kv_tokens)


def tokens_of(request: RolloutRequest) -> int:
    """Return the KV cache positions that one completion of a request may need at most."""
    return len(request.prompt_ids) + request.params.max_tokens


def check_request(request: RolloutRequest, *, positions: int, vocabulary: int, kv_tokens: int | None) -> None:
    """Raise ModelError for a request that can never be decoded by a model of this size with this much KV cache."""
    length = tokens_of(request)
    if not request.prompt_ids or request.params.max_tokens < 1 or request.group_size < 1:
        raise ModelError("a rollout request needs a prompt, at least one token to sample and at least one completion")
    if min(request.prompt_ids) < 0 or max(request.prompt_ids) >= vocabulary:
        raise ModelError(f"the prompt has ids that the model does not have: its ids are 0 to {vocabulary - 1}")
    if length > positions:
        fits = "lower max_tokens, or the length of prompts" if len(request.prompt_ids) < positions else "shorten the prompt"
        raise ModelError(
            f"a prompt of {len(request.prompt_ids)} tokens and {request.params.max_tokens} more exceed the model's {positions} "
            f"positions: {fits}"
        )
    if kv_tokens is not None and length > kv_tokens:
        raise ModelError(
            f"a completion of up to {length} tokens exceeds the {kv_tokens} tokens that fit into the KV cache: lower max_tokens"
        )
