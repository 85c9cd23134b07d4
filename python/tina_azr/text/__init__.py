"""Text and token ids: chat template, reasoning and answer, tag spans. Imports neither torch nor transformers."""
