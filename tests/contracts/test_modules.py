"""Rules for source files: length, names, and a docstring at the top."""

from pathlib import Path

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


def test_sources_of_every_language_are_found() -> None:
    assert {path.suffix for path in sources()} == {".py", ".rs", ".js", ".css"}


def test_no_module_is_longer_than_the_ceiling() -> None:
    lengths = {relative(path): len(path.read_text(encoding="utf-8").splitlines()) for path in sources()}
    offenders = [f"{name}: {lines} lines (at most {CEILING})" for name, lines in lengths.items() if lines > CEILING]
    assert not offenders, "\n".join(offenders)


def test_no_name_contains_an_empty_word() -> None:
    words = {path: {word for part in Path(relative(path)).with_suffix("").parts for word in part.split("_")} for path in sources()}
    offenders = [f"{relative(path)}: {word}" for path, found in words.items() for word in sorted(found & EMPTY_WORDS)]
    assert not offenders, "\n".join(offenders)


def test_every_python_module_opens_with_a_docstring() -> None:
    texts = {path: path.read_text(encoding="utf-8") for path in sources() if path.suffix == ".py"}
    offenders = [relative(path) for path, text in texts.items() if text and not text.startswith(('"""', "#!"))]
    assert not offenders, "\n".join(offenders)
