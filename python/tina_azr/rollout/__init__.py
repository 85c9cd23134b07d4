"""Decoding: the `RolloutEngine` protocol and the decode engine that implements it."""
