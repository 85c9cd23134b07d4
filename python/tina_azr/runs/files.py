"""Writing files so that a crash or a full disk leaves either the old content or the new, never half of one."""

import errno
import os
import sqlite3
from pathlib import Path

from safetensors import SafetensorError

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def write_text(path: Path, text: str, *, synced: bool = True) -> None:
    """Replace `path` by `text`: written beside, then renamed. `synced` outlives a power cut as well as a kill."""
    beside = path.with_name(f".{path.name}.part")
    try:
        with beside.open("wb") as file:
            file.write(text.encode())
            file.flush()
            if synced:
                os.fsync(file.fileno())
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
    if synced:
        sync(path.parent)


def sync(path: Path) -> None:
    """Force a file's content, or a folder's entries, onto the disk: without it a rename may be lost with the power."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def is_full_disk(error: BaseException) -> bool:
    """Whether the disk or a quota ran out, in the words of the library that met it first."""
    match error:
        case OSError():
            return error.errno in _FULL
        case sqlite3.OperationalError():
            return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
        case SafetensorError():
            # The Rust side keeps the number only in its text.
            return any(f"os error {number}" in str(error) for number in _FULL)
        case _:
            return False
