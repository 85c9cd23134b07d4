"""Tasks: three modes with their prompts, parsers and graders; identity, validation, grading, the buffer. No torch in here."""
