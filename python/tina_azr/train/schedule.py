"""The learning rate: a linear warm-up, then constant."""


def learning_rate(base: float, step: int, warmup_steps: int) -> float:
    """Rate of optimizer step `step`, counted from 1: base/warmup, 2 base/warmup, ... base, base."""
    return base * min(1.0, step / warmup_steps) if warmup_steps > 0 else base
