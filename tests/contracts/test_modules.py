"""Size and names of source files."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CEILING = 400
EMPTY_WORDS = {"utils", "util", "helpers", "helper", "manager", "common", "misc", "v2"}


def sources() -> list[Path]:
    """Sources of the product in Python, Rust, and the page's JavaScript and CSS; stubs and tests are exempt from the ceiling."""
    found = [path for end in ("*.py", "*.js", "*.css") for path in (ROOT / "python").rglob(end)]
    found += [path for folder in ("crates", "rust") for end in ("*.rs", "*.py") for path in (ROOT / folder).rglob(end)]
    return sorted(path for path in found if not {"tests", "benches", "target"} & set(path.relative_to(ROOT).parts))


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", sources(), ids=relative)
def test_a_module_can_be_read_in_one_sitting(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= CEILING


@pytest.mark.parametrize("path", sources(), ids=relative)
def test_a_name_says_what_is_inside(path: Path) -> None:
    words = {word for part in path.relative_to(ROOT).with_suffix("").parts for word in part.split("_")}
    assert not words & EMPTY_WORDS


@pytest.mark.parametrize("path", [path for path in sources() if path.suffix == ".py"], ids=relative)
def test_a_module_opens_with_its_purpose(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not text or text.startswith(('"""', "#!"))
