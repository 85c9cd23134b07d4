"""Access control of the HTTP server."""
