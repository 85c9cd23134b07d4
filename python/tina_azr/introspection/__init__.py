"""Metacognitive heads and their use: forecasts, think budgets, calibration and scores."""
