"""Verdicts of solver answers: every different answer of a task is graded once, all of a mode together."""

from collections.abc import Sequence

from tina_azr.sandbox.types import Executor
from tina_azr.tasks.modes import MODES
from tina_azr.tasks.types import Task, TaskRejected, Verdict

LONGEST_ANSWER = 65_536
"""Characters of a parsed answer beyond which it is not read: no task's solution is that long."""


def grade(executor: Executor, groups: Sequence[tuple[Task, Sequence[str | None]]]) -> list[list[Verdict]]:
    """Return the verdicts of each (task, answers), in order. An answer is the text after the reasoning; None if there was none."""
    parsed = [[_parse(task, answer) for answer in answers] for task, answers in groups]
    by_mode: dict[str, dict[tuple[str, str], Task]] = {}
    for (task, _), texts in zip(groups, parsed, strict=True):
        for text in texts:
            if text is not None:
                by_mode.setdefault(task.mode, {})[task.key, text] = task
    verdicts: dict[tuple[str, str, str], Verdict] = {}
    for mode, answers in by_mode.items():
        graded = MODES[mode].grade(executor, [(task, text) for (_, text), task in answers.items()])
        verdicts.update({(mode, *answer): verdict for answer, verdict in zip(answers, graded, strict=True)})
    return [
        [Verdict.MALFORMED if text is None else verdicts[task.mode, task.key, text] for text in texts]
        for (task, _), texts in zip(groups, parsed, strict=True)
    ]


def _parse(task: Task, answer: str | None) -> str | None:
    if answer is None:
        return None
    try:
        text = MODES[task.mode].parse_answer(answer)
    except TaskRejected:
        return None
    return text if len(text) <= LONGEST_ANSWER else None
