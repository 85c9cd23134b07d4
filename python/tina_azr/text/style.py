"""Which of the two prompt sets a model reads."""

from enum import StrEnum


class PromptStyle(StrEnum):
    """A property of the model: its folder's `tina.json` says it."""

    FULL = "full"
    """Worded instructions for a large thinking model."""
    COMPACT = "compact"
    """A few fixed words, learned by the embedded model."""
