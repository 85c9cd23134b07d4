"""The house of docs/architecture.md, read from the imports that are really there."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "python" / "tina_azr"

LAYERS = (
    ("__main__",),
    ("cli",),
    ("train", "evaluation", "serve", "tiny", "benchmarks"),
    ("runs", "engine"),
    ("selfplay",),
    ("introspection",),
    ("rollout",),
    ("model", "tasks"),
    ("text", "sandbox"),
    ("config",),
    ("errors", "formatting", "_native"),
)
"""From the roof down. A part imports from lower rows only, never from its own row."""

RANK = {part: rank for rank, row in enumerate(LAYERS) for part in row}


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if path.relative_to(PACKAGE).parts[0] != "assets")


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_parts(path: Path) -> Iterator[tuple[int, str]]:
    """Line and part for every import of this package in a module, those inside functions and under TYPE_CHECKING included."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            names = [node.module] if node.module != "tina_azr" else [f"tina_azr.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            first, _, rest = name.partition(".")
            if first == "tina_azr" and rest:
                yield node.lineno, rest.partition(".")[0]


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_from_layers_below_it(path: Path) -> None:
    own = part_of(path)
    if own == "__init__":
        assert list(imported_parts(path)) == []
        return
    assert own in RANK, f"{own} has no place in the house: add it to LAYERS and to docs/architecture.md"
    wrong = [
        f"{path.name}:{line} imports {other}"
        for line, other in imported_parts(path)
        if other != own and RANK.get(other, -1) <= RANK[own]
    ]
    assert wrong == []


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_are_absolute(path: Path) -> None:
    relative = [
        node.lineno
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert relative == []


def test_the_rule_would_notice_a_sideways_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = tmp_path / "train" / "trainer.py"
    module.parent.mkdir()
    module.write_text("def f():\n    from tina_azr.serve.page import x\n    import tina_azr.tasks.types\n")
    monkeypatch.setattr(f"{__name__}.PACKAGE", tmp_path)
    assert list(imported_parts(module)) == [(2, "serve"), (3, "tasks")]
    with pytest.raises(AssertionError, match=r"trainer\.py:2 imports serve"):
        test_a_module_imports_only_from_layers_below_it(module)


def test_the_layer_picture_of_the_docs_names_every_part() -> None:
    page = (PACKAGE.parents[1] / "docs" / "architecture.md").read_text(encoding="utf-8")
    parts = {part_of(path) for path in modules()} - {"__init__", "__main__"}
    assert [part for part in sorted(parts) if f"`{part}" not in page] == []
