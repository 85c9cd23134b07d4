"""`rollouts/step-N.jsonl`: the rollouts of a step, as text that a person can read.

There are two kinds of line. `proposal` is one proposer rollout and what became of it. `task` is one task with every solver rollout.
`key` joins both to the buffer. A line has its prompt once; reasoning and answer are separate fields.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from tina_azr.errors import CheckpointError
from tina_azr.runs.files import write_text
from tina_azr.runs.folder import RunFolder, numbered
from tina_azr.selfplay.types import Episode, ProposalRecord, Rollout, RolloutGroup


class Decoder(Protocol):
    """The part of `ChatTokenizer` that decodes ids."""

    def decode(self, ids: Sequence[int]) -> str: ...


def write_rollouts(run: RunFolder, episode: Episode, tokenizer: Decoder) -> None:
    """Write the rollouts of one step. Raises RunError if the disk is full."""
    lines = [_proposal_line(episode.step, record, tokenizer) for record in episode.proposals]
    lines += [_task_line(episode.step, group, tokenizer) for group in episode.groups]
    text = "".join(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n" for line in lines)
    with run.writing("rollouts"):
        run.rollouts.mkdir(exist_ok=True)
        write_text(run.rollouts / f"step-{episode.step}.jsonl", text, synced=False)


def cut_rollouts(run: RunFolder, step: int) -> None:
    """Delete the rollouts of steps after `step`: a resumed run plays them again."""
    for later in (n for n in numbered(run.rollouts, ".jsonl") if n > step):
        (run.rollouts / f"step-{later}.jsonl").unlink()


def rollouts_of(run: RunFolder, key: str) -> Iterator[dict[str, Any]]:
    """Yield every line about the task whose key starts with `key`, in the order of the steps.

    Raises CheckpointError for a line that is not JSON.
    """
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


def _proposal_line(step: int, record: ProposalRecord, tokenizer: Decoder) -> dict[str, object]:
    rollout = record.rollout
    return {
        "kind": "proposal",
        "step": step,
        "mode": rollout.mode,
        "key": record.task.key if record.task else None,
        "became": "task" if record.task else (record.reject.value if record.reject else "unused"),
        "detail": record.detail,
        "reward": rollout.reward,
        "surprise": record.introspection_bonus,
        "pass_rate": record.pass_rate,
        "prompt": tokenizer.decode(rollout.prompt_ids),
        **_rollout(rollout, tokenizer),
    }


def _task_line(step: int, group: RolloutGroup, tokenizer: Decoder) -> dict[str, object]:
    return {
        "kind": "task",
        "step": step,
        "mode": group.task.mode,
        "key": group.task.key,
        "program": group.task.program,
        "pass_rate": group.pass_rate,
        "forecast": _forecast(group),
        "prompt": tokenizer.decode(group.prompt_ids),
        "attempts": [
            {
                "verdict": None if rollout.verdict is None else rollout.verdict.value,
                "reward": rollout.reward,
                "cE": rollout.confidence_after,
                **_rollout(rollout, tokenizer),
            }
            for rollout in group.rollouts
        ],
    }


def _forecast(group: RolloutGroup) -> Mapping[str, object] | None:
    """Return the forecast of a group's prompt and the results of its probes."""
    forecast, probe = group.forecast, group.probe
    if forecast is None:
        return None
    return {
        "c0": forecast.confidence_before,
        "plan": {plan.value: share for plan, share in forecast.plan.items()},
        "budget": {f"{quantile:g}": tokens for quantile, tokens in forecast.budget_quantiles.items()},
        "walled": group.budgeted,
        "stop_rate": probe.stop_rate if probe else None,
        "hint_values": {plan.value: value for plan, value in probe.values.items()} if probe else None,
    }


def _rollout(rollout: Rollout, tokenizer: Decoder) -> Mapping[str, object]:
    completion = rollout.completion
    return {
        "advantage": rollout.advantage,
        "thought": tokenizer.decode(completion.ids_T[: completion.think_tokens].tolist()).strip("\n"),
        "answer": rollout.answer,
        "think_tokens": completion.think_tokens,
        "tokens": len(completion.ids_T),
        "stop": completion.stop_cause.value,
        "forced_close": completion.forced_close,
    }
