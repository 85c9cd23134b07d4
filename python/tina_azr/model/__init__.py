"""Models: loading, saving, and the learner's forward. Everything from here up needs torch."""
