"""The introspective engine: forecast before thinking, a budget that holds, confidence after it."""
