"""`run.json`: where a run stands, in a few fields that `tina-azr runs` can read without opening anything else."""

import json
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from tina_azr.config import Config
from tina_azr.errors import CheckpointError

_FORMAT = 1


class RunState(StrEnum):
    """How a run stands."""

    RUNNING = "running"
    FINISHED = "finished"
    """Reached its steps or its minutes."""
    INTERRUPTED = "interrupted"
    """Stopped by hand or killed; `--resume` goes on."""
    FAILED = "failed"
    """Ended by an error, which `message` repeats."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStatus:
    """State and progress of one run."""

    state: RunState
    model: str
    seed: int
    steps: int
    """Steps that the run is meant to take."""
    step: int = 0
    """Last complete step."""
    seconds: float = 0.0
    """Of training, over all resumes."""
    started: str = ""
    """ISO 8601, UTC."""
    updated: str = ""
    message: str = ""
    """Why it failed or ended early."""

    @classmethod
    def new(cls, config: Config) -> "RunStatus":
        now = _now()
        return cls(
            state=RunState.RUNNING, model=config.model.name, seed=config.seed, steps=config.run.steps, started=now, updated=now
        )

    @classmethod
    def read(cls, path: Path) -> "RunStatus":
        """Raises CheckpointError for a file that is missing or not ours."""
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
            if raw.pop("format") != _FORMAT:
                raise ValueError("another format number")
            return cls(**{**raw, "state": RunState(raw["state"])})
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(
                f"{path} cannot be read as the state of a run ({error}). It is only a summary: delete it and `--resume` writes it again."
            ) from error

    def changed(self, **fields: object) -> "RunStatus":
        """A copy with some fields replaced."""
        return replace(self, **fields)  # type: ignore[arg-type]

    def now(self) -> "RunStatus":
        """A copy stamped with the present time."""
        return replace(self, updated=_now())

    def to_json(self) -> dict[str, object]:
        return {"format": _FORMAT, **asdict(self)}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
