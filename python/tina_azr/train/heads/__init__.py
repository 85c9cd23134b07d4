"""Training of the metacognitive heads."""
