"""Benchmarks of the parts, each run as a module or by a command."""
