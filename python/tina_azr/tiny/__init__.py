"""How the embedded model is made: a program generator, execution traces as thoughts, a warm start. Independent of self-play."""
