"""What the fuzz targets try is what the other crates build."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
FUZZ = ROOT / "crates" / "sandbox" / "fuzz"


def versions(lock: Path) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for package in tomllib.loads(lock.read_text(encoding="utf-8"))["package"]:
        found.setdefault(package["name"], set()).add(package["version"])
    return found


def test_the_versions_that_are_fuzzed_are_those_that_are_used() -> None:
    used, fuzzed = versions(ROOT / "Cargo.lock"), versions(FUZZ / "Cargo.lock")
    assert {name: fuzzed[name] for name in used.keys() & fuzzed.keys() if not fuzzed[name] <= used[name]} == {}


def test_each_target_is_declared_and_has_seeds() -> None:
    targets = sorted(path.stem for path in (FUZZ / "fuzz_targets").glob("*.rs"))
    manifest = tomllib.loads((FUZZ / "Cargo.toml").read_text(encoding="utf-8"))
    assert sorted(target["name"] for target in manifest["bin"]) == targets
    assert [target for target in targets if not any((FUZZ / "seeds" / target).iterdir())] == []
