"""Stand-ins at the protocols of self-play: a small random policy, an engine that follows a script, an executor without a wall.

Torch is imported inside the fixtures: most unit tests do without it.
"""

import ast
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tina_azr.rollout.types import Completion, CompletionGroup, PromptHook, RolloutRequest, StopCause
from tina_azr.sandbox.types import Outcome, OutcomeKind, StaticPolicy

if TYPE_CHECKING:
    from tina_azr.model.loading import Policy
    from tina_azr.text.chat import ChatTokenizer

TEMPLATE = (
    "{% for message in messages %}<|im_start|>user\n{{ message.content }}<|im_end|>\n{% endfor %}<|im_start|>assistant\n<think>\n"
)
SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>"]
LITERALS = (int, float, bool, str, bytes, list, tuple, dict, set, frozenset, type(None))
Script = Callable[[str, int, int], str | None]


class ScriptedEngine:
    """Completes (prompt, index in group, seed) as the script says; None is a completion that ran into the length limit."""

    def __init__(self, tokenizer: "ChatTokenizer", script: Script) -> None:
        self._tokenizer = tokenizer
        self._script = script
        self.requests: list[RolloutRequest] = []

    def generate(
        self, requests: Sequence[RolloutRequest], on_progress: Callable[[int, int], None] | None = None
    ) -> list[CompletionGroup]:
        self.requests += requests
        if on_progress is not None:
            on_progress(0, sum(request.group_size for request in requests))
        return [self._group(request) for request in requests]

    def prompts(self) -> list[str]:
        return [self._tokenizer.decode(request.prompt_ids) for request in self.requests]

    def _group(self, request: RolloutRequest) -> CompletionGroup:
        prompt = self._tokenizer.decode(request.prompt_ids)
        texts = [self._script(prompt, index, request.seed) for index in range(request.group_size)]
        return CompletionGroup(prompt_ids=request.prompt_ids, completions_G=tuple(self._complete(text) for text in texts))

    def _complete(self, text: str | None) -> Completion:
        body = self._tokenizer.encode(text if text is not None else "and so on")
        ids = np.array(body if text is None else [*body, self._tokenizer.stop_ids[0]], dtype=np.int64)
        close = self._tokenizer.think_close_id
        return Completion(
            ids_T=ids,
            logprobs_T=np.full(len(ids), -1.0, dtype=np.float32),
            forced_T=np.zeros(len(ids), dtype=np.bool_),
            stop_cause=StopCause.LENGTH if text is None else StopCause.STOP_ID,
            think_tokens=body.index(close) if close in body else len(ids),
            forced_close=False,
        )


class TappedEngine(ScriptedEngine):
    """The same, with the states that a policy's own layers have at the end of each prompt and at each `</think>`."""

    def __init__(self, policy: "Policy", script: Script, taps: Sequence[int]) -> None:
        super().__init__(policy.tokenizer, script)
        self._policy = policy
        self._taps = tuple(taps)
        self.think_limits: list[int | None] = []
        """What the hook said, prompt by prompt."""

    def generate(
        self,
        requests: Sequence[RolloutRequest],
        on_progress: Callable[[int, int], None] | None = None,
        *,
        on_prompts: PromptHook | None = None,
    ) -> list[CompletionGroup]:
        groups = [self._tapped(group) for group in super().generate(requests, on_progress)]
        if on_prompts is not None:
            states = [group.prompt_states_LH for group in groups]
            self.think_limits += on_prompts(range(len(groups)), np.stack([one for one in states if one is not None]))
        return groups

    def _tapped(self, group: CompletionGroup) -> CompletionGroup:
        if not self._taps:
            return group
        completions = [
            replace(one, close_states_LH=self._states([*group.prompt_ids, *one.ids_T[: one.think_tokens + 1].tolist()]))
            if one.think_tokens < len(one.ids_T)
            else one
            for one in group.completions_G
        ]
        return replace(group, completions_G=tuple(completions), prompt_states_LH=self._states(group.prompt_ids))

    def _states(self, ids: Sequence[int]) -> np.ndarray:
        import torch

        from tina_azr.model.taps import Taps

        with torch.no_grad(), Taps(self._policy.module, self._taps) as taps:
            self._policy.module(torch.tensor([list(ids)]))
        return taps.states([0], [-1])[0].numpy()


class InProcessExecutor:
    """Runs what the tests themselves wrote."""

    def __init__(self) -> None:
        self.programs_run = 0

    def run_many(self, jobs: Sequence[tuple[str, str]], *, policy: StaticPolicy | None = None) -> list[Outcome]:
        return [outcomes[0] for outcomes in self.run_calls([(program, (call,)) for program, call in jobs])]

    def run_calls(self, jobs: Sequence[tuple[str, Sequence[str]]], *, policy: StaticPolicy | None = None) -> list[list[Outcome]]:
        return [[self._run(program, call) for call in calls] for program, calls in jobs]

    def check_many(self, jobs: Sequence[tuple[str, Sequence[str]]]) -> list[list[Outcome]]:
        return self.run_calls(jobs)

    def literals(self, texts: Sequence[str]) -> list[str | None]:
        return [self._literal(text) for text in texts]

    def argument_lists(self, texts: Sequence[str]) -> list[str | None]:
        lists = [self._literal(f"[{text}]") for text in texts]
        return [literal[1:-1] if literal is not None else None for literal in lists]

    def _literal(self, text: str) -> str | None:
        try:
            return repr(ast.literal_eval(text.strip()))
        except (ValueError, SyntaxError):
            return None

    def _run(self, program: str, call: str) -> Outcome:
        self.programs_run += 1
        space: dict[str, Any] = {}
        try:
            exec(program, space)
            value = eval(call, space)
        except Exception as error:  # a sandbox reports any exception of a program
            return Outcome(kind=OutcomeKind.EXCEPTION, error=f"{type(error).__name__}: {error}")
        if type(value) not in LITERALS:
            return Outcome(kind=OutcomeKind.NOT_LITERAL, error=type(value).__name__)
        return Outcome(kind=OutcomeKind.OK, value=repr(value))


@pytest.fixture(scope="session")
def byte_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a random Qwen3 of some ten thousand parameters whose tokens are bytes."""
    import torch
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.set_num_threads(1)  # so small a model is slower on two
    folder = tmp_path_factory.mktemp("byte_model")
    vocabulary = {symbol: number for number, symbol in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(special, special=True) for special in SPECIALS])
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    (folder / "tina.json").write_text(json.dumps({"prompts": "compact"}))
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=264,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        tie_word_embeddings=True,
        max_position_embeddings=1024,
    )
    Qwen3ForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture
def byte_policy(byte_model: Path) -> "Policy":
    """That model, loaded anew: a test may train it."""
    from tina_azr.model.loading import load_policy

    return load_policy(str(byte_model), device="cpu")


@pytest.fixture
def scripted(byte_policy: "Policy") -> Callable[[Callable[[str, int], str | None]], ScriptedEngine]:
    """An engine for `byte_policy` that says what a script of prompt and index says."""
    return lambda script: ScriptedEngine(byte_policy.tokenizer, lambda prompt, index, seed: script(prompt, index))


@pytest.fixture
def scripted_engine() -> type[ScriptedEngine]:
    """For a tokenizer and a script of one's own."""
    return ScriptedEngine


@pytest.fixture
def tapped_engine() -> type[TappedEngine]:
    """For a policy, a script and layers of one's own."""
    return TappedEngine


@pytest.fixture
def in_process() -> InProcessExecutor:
    return InProcessExecutor()
