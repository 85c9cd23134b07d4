"""Fenced blocks: how programs, inputs and outputs are written in prompts and found in answers."""

import re

_OPENING = re.compile(r"```([A-Za-z0-9_+-]+)[ \t\r]*$")


def fence(tag: str, body: str) -> str:
    """A fenced block with its final newline."""
    return f"```{tag}\n{body}\n```\n"


def find_blocks(answer: str, tag: str) -> list[str]:
    """Bodies of all closed blocks with this tag, in order, without their surrounding newlines.

    A block ends at the first line that ends with a bare fence, so that a fence with a tag never closes one by accident. Line by
    line and linear: a model that repeats an opening fence a thousand times costs nothing.
    """
    found: list[str] = []
    body: list[str] | None = None
    body_tag = ""
    for line in answer.split("\n"):
        if body is None:
            opening = _OPENING.search(line)
            if opening is not None:
                body, body_tag = [], opening.group(1)
            continue
        text = line.rstrip(" \t\r")
        if not text.endswith("```"):
            body.append(line)
            continue
        body.append(text.removesuffix("```"))
        if body_tag == tag:
            found.append("\n".join(body).strip("\r\n"))
        body = None
    return found
