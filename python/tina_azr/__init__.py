"""Introspective self-play: a model invents programming tasks, checks them in a sandbox, solves them and learns from the outcome."""
