"""The OpenAI-compatible API: requests, responses and streams."""
