"""The machine-code cache, from nothing: two first calls at once, then damage. Compiles some four times, so it is one test."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

RUN = "import json; from tina_azr.sandbox import Sandbox; print(json.dumps([Sandbox(workers=1).run('', '6 * 7').value]))"


def start(folder: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "TINA_AZR_CACHE": str(folder)}
    return subprocess.Popen([sys.executable, "-c", RUN], env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def ended(process: subprocess.Popen[str]) -> str:
    """What it said on stderr, after the right answer on stdout."""
    stdout, stderr = process.communicate(timeout=900)
    assert json.loads(stdout) == ["42"], stderr
    return stderr


@pytest.mark.timeout(3_000)
def test_two_first_calls_compile_once_and_a_damaged_cache_is_made_anew(tmp_path: Path) -> None:
    said = [ended(process) for process in [start(tmp_path), start(tmp_path)]]
    assert sum("preparing" in text for text in said) == 1
    files = sorted(tmp_path.rglob("*.bin"))
    assert [file.name.split("-", 1)[1].rsplit("-", 1)[0] for file in files] == ["code", "memory-1", "memory-2"]
    assert "preparing" not in ended(start(tmp_path))

    others = [files[0].with_name(f"{age}-code-0.bin") for age in (10, 40)]
    for age, other in zip((10, 40), others, strict=True):
        other.touch()
        os.utime(other, times=(time.time() - age * 86_400,) * 2)
    for file in files[:2]:
        whole = file.read_bytes()
        for damaged in (whole[: len(whole) // 2], whole[:-1000] + bytes([whole[-1000] ^ 1]) + whole[-999:]):
            file.write_bytes(damaged)
            assert "preparing" in ended(start(tmp_path))
            assert file.read_bytes() == whole
    assert [other.exists() for other in others] == [True, False], "what is older than 30 days is removed when something new is made"
