"""Calibration of a model's heads on held-out labels."""
