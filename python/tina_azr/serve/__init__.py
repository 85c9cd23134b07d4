"""OpenAI-compatible HTTP server in front of one thread that owns the engine."""
