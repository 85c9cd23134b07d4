"""What the scripted model says: one `Script` for each kind of prompt that the page's tests send.

A script is what an engine would do, as plain values: a forecast, thought tokens, an answer in pieces, and how long each takes. The
words in brackets at the start of a prompt choose it.
"""

from dataclasses import dataclass, field
from typing import Any

QUANTILES = {"0.5": 31, "0.8": 48, "0.95": 77}
PLAN = {"choice": "verify", "probabilities": {"outline": 0.14, "verify": 0.62, "decompose": 0.19, "stop": 0.05}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """One completion, as it will be streamed."""

    thought: tuple[str, ...] = ("x = 4 * 3 -> 12\n", "x = 12 + 5 -> 17\n", "17")
    """Text of each thought token."""
    answer: tuple[str, ...]
    """Pieces of the answer."""
    token_seconds: float = 0.004
    c0: float | None = 0.71
    cE: float | None = 0.83  # noqa: N815
    abstain: bool = False
    budget: int = 64
    wall: int = 77
    warning: str | None = None
    predicted: dict[str, int] | None = field(default_factory=lambda: dict(QUANTILES))
    plan: dict[str, Any] | None = field(default_factory=lambda: dict(PLAN))
    think_stop: str = "closed"
    drop_after: int | None = None
    """Close the connection, without a word, after this many pieces of the answer."""


LONG = tuple(f"step {index}: still counting. " for index in range(400))
HOSTILE = (
    "Before <script>window.pwned = 1</script> after.\n\n",
    '<img src="https://example.com/x.png" onerror="window.pwned = 2">\n\n',
    "A quoted tag: </think> stays text, `</think>` too.\n\n",
    "[a link](https://example.com/) and [a trap](javascript:window.pwned=3)\n\n",
    "```html\n<script>window.pwned = 4</script>\n```\n",
)
CODE = (
    "A list comprehension does it, **without** a loop of its own:\n\n",
    "```python\ndef f(n):\n    return [i * i for i in range(n)]\n```\n\n",
    "It takes `n` and returns the first `n` squares:\n\n",
    "| n | squares |\n|---|---|\n| 3 | 0, 1, 4 |\n| 4 | 0, 1, 4, 9 |\n\n",
    "1. `range(n)` counts from 0.\n2. Each number is multiplied by itself.\n",
)
SLOW_ANSWER = tuple(f"word{index} " for index in range(400))

SCRIPTS: dict[str, Script] = {
    "[long]": Script(thought=LONG, answer=("Asked for the answer, here it is: 17.",), token_seconds=0.02, budget=300, wall=390),
    "[slow answer]": Script(answer=SLOW_ANSWER, token_seconds=0.02),
    "[hostile]": Script(answer=HOSTILE),
    "[code]": Script(answer=CODE, thought=LONG[:41]),
    "[unsure]": Script(answer=("Perhaps 23.",), c0=0.34, cE=0.21, abstain=True, thought=LONG[:70], think_stop="slack"),
    "[tight]": Script(
        answer=("Short of thought: 5.",),
        thought=LONG[:12],
        budget=10,
        wall=12,
        think_stop="wall",
        warning="The budget of 10 tokens is a third of the 31 that half of the right answers need: expect a worse answer.",
    ),
    "[no heads]": Script(answer=("Seventeen.",), c0=None, cE=None, predicted=None, plan=None, budget=512, wall=640),
    "[dies]": Script(answer=("The first words came", " and then", " nothing"), drop_after=1),
    "Predict the output.": Script(answer=("```output\n17\n```\n",)),
    "Find an input.": Script(answer=("```input\n10\n```\n",)),
    "Write the function.": Script(answer=("```python\ndef f(x):\n    x = x + 1\n    x = x * 2\n    return x\n```\n",)),
}
PLAIN = Script(answer=("The answer ", "to ", "that ", "is **17**."))


def script_of(prompt: str) -> Script:
    """The script whose key the prompt starts with."""
    return next((script for key, script in SCRIPTS.items() if prompt.startswith(key)), PLAIN)
