"""Fixtures: a decode session with a record of its reports, and requests for it."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tina_azr.model.loading import Policy
    from tina_azr.rollout.session import DecodeSession
    from tina_azr.rollout.types import Completion, RolloutRequest, StepReport, Token


class Driven:
    """Decode session and everything that its steps reported."""

    def __init__(self, session: "DecodeSession") -> None:
        self.session = session
        self.ended: dict[int, dict[int, Completion]] = defaultdict(dict)
        self.tokens: dict[tuple[int, int], list[Token]] = defaultdict(list)
        self.prompts: dict[int, Any] = {}
        self.closed: dict[tuple[int, int], Any] = {}

    def submit(self, request: "RolloutRequest", *, follow: bool = False) -> int:
        return self.session.submit(request, follow=follow)

    def step(self, times: int = 1) -> "StepReport":
        for _ in range(times):
            report = self.session.step()
            self.prompts.update(report.prompts)
            for token in report.tokens:
                self.tokens[token.ticket, token.index].append(token)
            self.closed.update({(ticket, index): states for ticket, index, states in report.closed})
            self.note(report.ended)
        return report

    def cancel(self, ticket: int, index: int | None = None) -> int:
        """Run one step, and return the number of completions that ended."""
        return self.note(self.session.cancel(ticket, index))

    def note(self, ended: Sequence[Any]) -> int:
        for one in ended:
            assert one.index not in self.ended[one.ticket], "a completion ends once"
            self.ended[one.ticket][one.index] = one.completion
        return len(ended)

    def run(self) -> None:
        """Run steps until the session is idle."""
        while self.session.busy:
            self.step()

    def ids(self, ticket: int) -> list[list[int]]:
        return [self.ended[ticket][index].ids_T.tolist() for index in sorted(self.ended[ticket])]


Open = Callable[..., Driven]
Ask = Callable[..., "RolloutRequest"]


@pytest.fixture
def lively(byte_policy: "Policy") -> "Policy":
    """`byte_policy` with weights so far from the initial ones that its greedy ids do not repeat."""
    import torch

    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in byte_policy.module.parameters():
            parameter += 0.2 * torch.randn(parameter.shape, generator=generator)
    return byte_policy


@pytest.fixture
def endless(byte_policy: "Policy") -> None:
    """Remove the stop ids: a random model would end its turn at random."""
    byte_policy.tokenizer.stop_ids = ()


@pytest.fixture
def driven(byte_policy: "Policy") -> Open:
    """Return a function that opens a session of `byte_policy`, or of another policy."""
    from tina_azr.rollout.session import DecodeSession

    def make(policy: "Policy | None" = None, *, slots: int = 16, **settings: Any) -> Driven:
        return Driven(DecodeSession(policy or byte_policy, slots=slots, **settings))

    return make


@pytest.fixture
def ask(byte_policy: "Policy") -> Ask:
    """Return a function that makes a request from a text and `SamplingParams`."""
    from tina_azr.rollout.types import RolloutRequest, SamplingParams

    def make(text: str, *, group_size: int = 1, seed: int = 0, max_tokens: int = 24, **params: Any) -> "RolloutRequest":
        sampling: SamplingParams = SamplingParams(max_tokens=max_tokens, **params)
        prompt_ids = byte_policy.tokenizer.render(text)
        return RolloutRequest(prompt_ids=prompt_ids, group_size=group_size, params=sampling, seed=seed)

    return make
