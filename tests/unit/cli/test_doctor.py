"""`tina-azr doctor`."""

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from tina_azr.cli import doctor as page
from tina_azr.cli.main import cli


def findings(*arguments: str) -> tuple[int, dict[str, dict[str, str]]]:
    """Return the exit status, and the findings of `--json` by name."""
    result = CliRunner().invoke(cli, ["doctor", "--json", *arguments])
    return result.exit_code, {finding["name"]: finding for finding in json.loads(result.stdout)}


def test_this_installation_is_in_order() -> None:
    status, found = findings()
    assert [finding for finding in found.values() if finding["status"] == "fault"] == []
    assert status == 0
    assert found["sandbox run"]["detail"].startswith("ok, 45, ")
    assert {"python", "cores", "memory", "torch", "native module", "model tiny", "model tiny-warm", "writing here"} <= set(found)


def test_sandbox_findings_have_labels_for_people_and_keys_in_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "CHECKS", (page._sandbox,))
    words = CliRunner().invoke(cli, ["doctor"]).stdout
    assert "good   sandbox built by      componentize-py 0.25.1\n" in words
    assert "_" not in "".join(line[:29] for line in words.splitlines())
    _, found = findings()
    assert found["sandbox componentize_py"] == {
        "name": "sandbox componentize_py",
        "status": "good",
        "detail": "0.25.1",
        "advice": "",
    }


def test_thread_count_matches_sandbox_info() -> None:
    _, found = findings()
    facts = json.loads(CliRunner().invoke(cli, ["sandbox", "info", "--json"]).stdout)
    assert found["sandbox workers"]["detail"] == str(facts["workers"])


def test_fault_has_advice_and_other_checks_still_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "tina_azr._native", None)  # what an import finds where the build is missing
    monkeypatch.setattr(page, "PACKAGE", tmp_path)
    monkeypatch.setattr(page, "MIN_DISK_GIB", 0)  # a full disk would be a note
    status, found = findings()
    assert status == 1
    for name in ("native module", "model tiny"):
        assert found[name]["status"] == "fault"
        assert found[name]["advice"]
    assert found["writing here"]["status"] == "good"


def test_a_folder_that_cannot_be_written_to_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "CHECKS", (page._writing,))
    monkeypatch.chdir("/proc")
    status, found = findings()
    assert (status, found["writing here"]["status"]) == (0, "note")


def test_for_people_every_check_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "CHECKS", (page._python, page._machine))
    lines = CliRunner().invoke(cli, ["doctor"]).stdout.splitlines()
    assert [line.split()[1] for line in lines if line.startswith(("good", "note", "fault"))] == ["python", "cores", "memory"]
