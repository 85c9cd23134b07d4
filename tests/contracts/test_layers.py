"""Layer rules of docs/architecture.md, checked on the imports of every module."""

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


def forbidden_imports(path: Path) -> list[str]:
    """Imports of a module that its layer does not allow, one line of text each."""
    own = part_of(path)
    if own != "__init__" and own not in RANK:
        return [f"{path.relative_to(PACKAGE)}: {own} is in no layer (add it to LAYERS and to docs/architecture.md)"]
    return [
        f"{path.relative_to(PACKAGE)}:{line} imports {other}"
        for line, other in imported_parts(path)
        if own == "__init__" or (other != own and RANK.get(other, -1) <= RANK[own])
    ]


def relative_imports(path: Path) -> list[str]:
    return [
        f"{path.relative_to(PACKAGE)}:{node.lineno}"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.level
    ]


def test_modules_import_only_from_layers_below_them() -> None:
    offenders = [line for path in modules() for line in forbidden_imports(path)]
    assert not offenders, "\n".join(offenders)


def test_imports_are_absolute() -> None:
    offenders = [line for path in modules() for line in relative_imports(path)]
    assert not offenders, "\n".join(offenders)


def test_the_rules_notice_what_they_forbid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = {
        "__init__.py": "from tina_azr.errors import TinaError\n",
        "train/trainer.py": "def f():\n    from tina_azr.serve.page import x\n    import tina_azr.tasks.types\n",
        "tasks/types.py": "from . import modes\nfrom tina_azr.train import trainer\n",
        "attic.py": "",
    }
    for name, text in sources.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(f"{__name__}.PACKAGE", tmp_path)
    assert list(imported_parts(tmp_path / "train/trainer.py")) == [(2, "serve"), (3, "tasks")]
    with pytest.raises(AssertionError) as failure:
        test_modules_import_only_from_layers_below_them()
    assert [line.strip() for line in str(failure.value).splitlines()[:4]] == [
        "__init__.py:1 imports errors",
        "attic.py: attic is in no layer (add it to LAYERS and to docs/architecture.md)",
        "tasks/types.py:2 imports train",
        "train/trainer.py:2 imports serve",
    ]
    with pytest.raises(AssertionError, match=r"tasks/types\.py:1"):
        test_imports_are_absolute()


def test_the_layer_picture_of_the_docs_names_every_part() -> None:
    page = (PACKAGE.parents[1] / "docs" / "architecture.md").read_text(encoding="utf-8")
    parts = {part_of(path) for path in modules()} - {"__init__", "__main__"}
    assert [part for part in sorted(parts) if f"`{part}" not in page] == []
