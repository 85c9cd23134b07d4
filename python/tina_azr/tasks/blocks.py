"""Fenced blocks: how programs, inputs and outputs are written in prompts and found in answers."""

import re


def fence(tag: str, body: str) -> str:
    """A fenced block with its final newline."""
    return f"```{tag}\n{body}\n```\n"


def find_blocks(answer: str, tag: str) -> list[str]:
    """Bodies of all blocks with this tag, in order, without their surrounding newlines."""
    return [body.strip("\n") for body in re.findall(rf"```{re.escape(tag)}[ \t]*\n(.*?)\n?```", answer, re.DOTALL)]
