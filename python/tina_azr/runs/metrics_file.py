"""`metrics.jsonl` and `heldout/step-N.jsonl`: written a line at a time, cut back on resume, read by scripts and by us.

A reader may meet a line that is still being written, and a killed run may leave one for good: the last line counts only once its
newline is there. Anything else that is not JSON is an error, never skipped.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tina_azr.errors import CheckpointError
from tina_azr.runs.files import write_text
from tina_azr.runs.folder import RunFolder, numbered
from tina_azr.runs.metrics import HeldoutMetrics, HeldoutOutcome, StepMetrics
from tina_azr.runs.status import RunStatus


class MetricsWriter:
    """Listener that appends to a run's metrics and keeps `run.json` up to date.

    Every line is with the kernel before the call returns: a kill loses none.
    """

    def __init__(self, run: RunFolder) -> None:
        self._run = run

    def on_phase(self, step: int, phase: str, done: int, total: int) -> None:
        """Nothing to keep."""

    def on_step(self, metrics: StepMetrics) -> None:
        self._append(metrics.to_json())
        self._tell(metrics.step, metrics.seconds)

    def on_heldout(self, metrics: HeldoutMetrics) -> None:
        if metrics.outcomes:
            lines = "".join(_line(outcome.to_json()) for outcome in metrics.outcomes)
            with self._run.writing("held-out results"):
                self._run.heldout.mkdir(exist_ok=True)
                write_text(self._run.heldout / f"step-{metrics.step}.jsonl", lines)
        self._append(metrics.to_json())
        self._tell(metrics.step, metrics.seconds)

    def on_checkpoint(self, step: int, path: Path) -> None:
        """Nothing to keep."""

    def on_note(self, text: str) -> None:
        """Nothing to keep."""

    def _tell(self, step: int, seconds: float) -> None:
        with self._run.writing("run.json"):
            self._run.write_status(RunStatus.read(self._run.status_file).changed(step=step, seconds=seconds))

    def _append(self, line: Mapping[str, object]) -> None:
        with self._run.writing("metrics.jsonl"), self._run.metrics_file.open("a", encoding="utf-8") as file:
            file.write(_line(line))


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """All that a run's metrics say, in the order in which it happened."""

    steps: tuple[StepMetrics, ...] = ()
    heldouts: tuple[HeldoutMetrics, ...] = ()


def read_metrics(run: RunFolder) -> History:
    """Every complete line of `metrics.jsonl`; empty when there is no file yet. Lines of a kind that is not known are left out."""
    if not run.metrics_file.exists():
        return History()
    steps: list[StepMetrics] = []
    heldouts: list[HeldoutMetrics] = []
    for number, text in enumerate(_complete_lines(run.metrics_file), start=1):
        line = _parse(run.metrics_file, number, text)
        try:
            if line.get("kind") == "step":
                steps.append(StepMetrics.from_json(line))
            elif line.get("kind") == "heldout":
                heldouts.append(HeldoutMetrics.from_json(line))
        except KeyError as error:
            raise CheckpointError(
                f"{run.metrics_file}, line {number} lacks the field {error}: it is from another version."
            ) from error
    return History(steps=tuple(steps), heldouts=tuple(heldouts))


def read_outcomes(run: RunFolder, step: int) -> tuple[HeldoutOutcome, ...]:
    """Task-by-task results of the evaluation at `step`; empty when they were not kept."""
    path = run.heldout / f"step-{step}.jsonl"
    if not path.exists():
        return ()
    return tuple(_outcome(_parse(path, number, line), path) for number, line in enumerate(_complete_lines(path), start=1))


def cut_metrics(run: RunFolder, step: int) -> int:
    """Drop what was recorded after `step`, and a half-written last line. Returns how many complete lines went.

    -1 drops everything. The lines before stay as they are, byte for byte.
    """
    if not run.metrics_file.exists():
        return 0
    lines = _complete_lines(run.metrics_file)
    kept = [line for number, line in enumerate(lines, start=1) if _step(_parse(run.metrics_file, number, line)) <= step]
    with run.writing("metrics.jsonl"):
        write_text(run.metrics_file, "".join(f"{line}\n" for line in kept))
    for later in (n for n in numbered(run.heldout, ".jsonl") if n > step):
        (run.heldout / f"step-{later}.jsonl").unlink()
    return len(lines) - len(kept)


def _line(values: Mapping[str, object]) -> str:
    return json.dumps(values, allow_nan=False) + "\n"


def _complete_lines(path: Path) -> list[str]:
    text = path.read_text(encoding="utf-8")
    return text[: text.rfind("\n") + 1].splitlines()


def _parse(path: Path, number: int, line: str) -> dict[str, object]:
    try:
        value = json.loads(line)
    except ValueError as error:
        raise CheckpointError(
            f"{path}, line {number} is not JSON ({error}): the file was edited; fix or remove that line."
        ) from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path}, line {number} is not a JSON object: the file was edited; fix or remove that line.")
    return value


def _step(line: Mapping[str, object]) -> int:
    step = line.get("step")
    return step if isinstance(step, int) else -1


def _outcome(line: Mapping[str, object], path: Path) -> HeldoutOutcome:
    try:
        return HeldoutOutcome(**line)  # type: ignore[arg-type]
    except TypeError as error:
        raise CheckpointError(f"{path} has other fields than a held-out result ({error}): it is from another version.") from error
