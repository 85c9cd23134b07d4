"""Errors, named after the boundary that failed.

Each is also the standard error that a caller who knows nothing of this package would catch. A message says what was wrong, where,
and what to do. A failing *program* is never an error here: it is an `Outcome` (sandbox) or a counted `RejectReason` (tasks).
"""


class TinaError(Exception):
    """Base of everything that this package raises on purpose."""


class ConfigError(TinaError, ValueError):
    """A configuration file, field or flag that cannot be used."""


class ModelError(TinaError, ValueError):
    """A model folder, tokenizer or chat template that cannot be used."""


class SandboxError(TinaError, RuntimeError):
    """The sandbox itself failed: its result says nothing about the program."""


class CheckpointError(TinaError, RuntimeError):
    """A run folder or checkpoint that is missing, damaged or of another shape."""


class RunError(TinaError, RuntimeError):
    """A run that cannot go on, for a reason outside the model: a full disk, a folder in use."""


class ScoreError(TinaError, ValueError):
    """Forecasts or labels that cannot be scored, or that a calibration cannot be fitted to."""


class ServeError(TinaError, RuntimeError):
    """The server cannot do what a request asks."""
