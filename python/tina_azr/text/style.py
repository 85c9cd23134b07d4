"""The two prompt sets, one of which a model understands."""

from enum import StrEnum


class PromptStyle(StrEnum):
    """Prompt set of a model. `tina.json` in its folder names it."""

    FULL = "full"
    """Instructions in sentences, for a large reasoning model."""
    COMPACT = "compact"
    """A few fixed words, which the embedded model has learned."""
