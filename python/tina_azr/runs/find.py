"""Which run a person means: a folder, or the name of one below `./runs`."""

from pathlib import Path

from tina_azr.config import RUNS
from tina_azr.errors import RunError
from tina_azr.runs.folder import RunFolder, find_runs


def find_run(text: str) -> RunFolder:
    """The run at a path, or of that name below `./runs`."""
    here, named = Path(text), RUNS / text
    if not here.exists() and named.is_dir():
        return RunFolder.open(named)
    return RunFolder.open(here)


def latest_run(parent: Path = RUNS) -> RunFolder:
    """The run that was last written to."""
    runs = find_runs(parent)
    if not runs:
        raise RunError(f"no run below {parent}/ to go on with: name one (--resume FOLDER), or start one with `tina-azr train`.")
    return max(runs, key=lambda run: run.status_file.stat().st_mtime)
