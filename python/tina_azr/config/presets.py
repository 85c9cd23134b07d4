"""Presets: configurations that ship with the package, by name (`--preset NAME`). `configs/` has the same files."""

from importlib.resources import files
from importlib.resources.abc import Traversable

from tina_azr.errors import ConfigError


def preset_names() -> list[str]:
    """Return the names of all presets, sorted."""
    return sorted(entry.name.removesuffix(".yaml") for entry in _folder().iterdir() if entry.name.endswith(".yaml"))


def read_preset(name: str) -> str:
    """Return the text of a preset. Raises ConfigError for an unknown name."""
    if name not in preset_names():
        raise ConfigError(f"there is no preset `{name}`. Known: {', '.join(preset_names())} (`tina-azr config presets`).")
    return (_folder() / f"{name}.yaml").read_text(encoding="utf-8")


def preset_summary(name: str) -> str:
    """Return the first sentence of a preset's opening comment."""
    opening = read_preset(name).split("\n#\n")[0]
    text = " ".join(line.removeprefix("#").strip() for line in opening.splitlines())
    return text.split(". ")[0].rstrip(".")


def _folder() -> Traversable:
    return files("tina_azr") / "config" / "preset_files"
