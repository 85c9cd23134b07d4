"""Self-play: what the model does with itself in one step, and how that is rewarded."""
