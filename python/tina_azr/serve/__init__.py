"""The OpenAI-compatible server: one worker thread that owns the engine, and HTTP in front of it."""
