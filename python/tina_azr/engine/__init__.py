"""Chat engine with introspection: a forecast before reasoning, an enforced think limit, a confidence afterwards."""
