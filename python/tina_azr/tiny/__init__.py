"""Recipe of the embedded model: a program generator, execution traces as reasoning, a warm start. Independent of self-play."""
