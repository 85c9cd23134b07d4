"""Learning from self-play: `trainer.py` is the page to start with."""
