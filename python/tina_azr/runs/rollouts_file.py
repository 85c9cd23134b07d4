"""`rollouts/step-N.jsonl`: what was proposed and tried in a step, as text that a person can read.

Two kinds of line. `proposal`: one proposer rollout and what became of it. `task`: one task and every solver attempt at it. `key`
joins both to the buffer. Prompts are written once a line, thoughts and answers apart.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from tina_azr.errors import CheckpointError
from tina_azr.rollout.types import Completion
from tina_azr.runs.files import write_text
from tina_azr.runs.folder import RunFolder, numbered
from tina_azr.selfplay.types import Episode, ProposalRecord, SolvedTask


class Decoder(Protocol):
    """The part of `ChatTokenizer` that turns ids into text."""

    def decode(self, ids: Sequence[int]) -> str: ...


Advantages = Mapping[int, float]
"""By `id()` of the completion, which samples, attempts and proposals share. Absent: the learner did not get it."""


def write_rollouts(run: RunFolder, episode: Episode, tokenizer: Decoder, advantages: Advantages | None = None) -> None:
    """Keep one step's rollouts."""
    advantages = advantages or {}
    lines = [_proposal_line(episode.step, record, tokenizer, advantages) for record in episode.proposals]
    lines += [_task_line(episode.step, solved, tokenizer, advantages) for solved in episode.solved]
    text = "".join(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n" for line in lines)
    with run.writing("rollouts"):
        run.rollouts.mkdir(exist_ok=True)
        write_text(run.rollouts / f"step-{episode.step}.jsonl", text, synced=False)


def cut_rollouts(run: RunFolder, step: int) -> None:
    """Drop the rollouts of steps after `step`: a resumed run plays them again."""
    for later in (n for n in numbered(run.rollouts, ".jsonl") if n > step):
        (run.rollouts / f"step-{later}.jsonl").unlink()


def rollouts_of(run: RunFolder, key: str) -> Iterator[dict[str, Any]]:
    """Every line about the task whose key starts with `key`, in the order of the steps."""
    for step in numbered(run.rollouts, ".jsonl"):
        path = run.rollouts / f"step-{step}.jsonl"
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                if key not in line:
                    continue  # cheap: hardly any line has the key, and parsing is what costs
                try:
                    parsed = json.loads(line)
                except ValueError as error:
                    raise CheckpointError(f"{path}, line {number} is not JSON ({error}): the file was changed by hand.") from error
                if (parsed.get("key") or "").startswith(key):
                    yield parsed


def _proposal_line(step: int, record: ProposalRecord, tokenizer: Decoder, advantages: Advantages) -> dict[str, object]:
    return {
        "kind": "proposal",
        "step": step,
        "mode": record.mode,
        "key": record.task.key if record.task else None,
        "became": "task" if record.task else (record.reject.value if record.reject else "unused"),
        "detail": record.detail,
        "reward": record.reward,
        "surprise": record.introspection_bonus,
        "pass_rate": record.pass_rate,
        "prompt": tokenizer.decode(record.prompt_ids),
        **_completion(record.completion, record.answer, tokenizer, advantages),
    }


def _task_line(step: int, solved: SolvedTask, tokenizer: Decoder, advantages: Advantages) -> dict[str, object]:
    return {
        "kind": "task",
        "step": step,
        "mode": solved.task.mode,
        "key": solved.task.key,
        "program": solved.task.program,
        "pass_rate": solved.pass_rate,
        "forecast": _forecast(solved),
        "prompt": tokenizer.decode(solved.prompt_ids),
        "attempts": [
            {
                "verdict": attempt.verdict.value,
                "reward": attempt.reward,
                "cE": attempt.confidence_after,
                **_completion(attempt.completion, attempt.answer, tokenizer, advantages),
            }
            for attempt in solved.attempts
        ],
    }


def _forecast(solved: SolvedTask) -> Mapping[str, object] | None:
    """What the heads said before the task was tried, and what its probes found."""
    forecast, probe = solved.forecast, solved.probe
    if forecast is None:
        return None
    return {
        "c0": forecast.confidence_before,
        "plan": {plan.value: share for plan, share in forecast.plan.items()},
        "budget": {f"{quantile:g}": tokens for quantile, tokens in forecast.budget_quantiles.items()},
        "walled": solved.budgeted,
        "stop_rate": probe.stop_rate if probe else None,
        "hint_values": {plan.value: value for plan, value in probe.values.items()} if probe else None,
    }


def _completion(completion: Completion, answer: str | None, tokenizer: Decoder, advantages: Advantages) -> Mapping[str, object]:
    return {
        "advantage": advantages.get(id(completion)),
        "thought": tokenizer.decode(completion.ids_T[: completion.think_tokens].tolist()).strip("\n"),
        "answer": answer,
        "think_tokens": completion.think_tokens,
        "tokens": len(completion.ids_T),
        "stop": completion.stop_cause.value,
        "forced_close": completion.forced_close,
    }
