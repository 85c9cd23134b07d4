"""The programs that self-play starts from: the first references, and half of them for good."""

from importlib.resources import as_file, files

from tina_azr.tasks.codec import reference_from_json
from tina_azr.tasks.jsonl import read_jsonl
from tina_azr.tasks.types import Reference
from tina_azr.text.style import PromptStyle

SEED_FILES = {
    PromptStyle.FULL: ("tasks", "seeds.jsonl"),
    PromptStyle.COMPACT: ("assets", "tiny", "seeds.jsonl"),
}
"""Inside the package. The full set is the original's identity task and small programs of many kinds; the compact one was drawn with
the generator of the embedded model, whose language it is."""


def load_seeds(style: PromptStyle) -> tuple[Reference, ...]:
    """The seed programs, each with one input and its output. Raises ConfigError if the installation lacks them."""
    with as_file(files("tina_azr").joinpath(*SEED_FILES[style])) as path:
        return read_jsonl(path, reference_from_json)
