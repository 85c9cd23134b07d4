"""Text to ids and back: chat rendering, thoughts and answers, tag spans. Imports neither torch nor transformers."""
