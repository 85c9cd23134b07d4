"""A training run on disk, and how it is shown."""
