"""Scripts of the page tests, chosen by the word in brackets at the start of a prompt."""

from scripted_chat import SENTINEL, Script, usual
from tina_azr.engine.types import GenerationRequest

HELD_AT = 300
"""Tokens after which what one of `HELD` asks for waits, see `PageEngine`."""
HELD = ("[slow]", "[ponder]", "[hostile, long]")
"""A long answer, a long thought, a long answer full of markup."""
LAST_WORD, LAST_STEP = f"word-{HELD_AT + 19}", "step-999"
"""Of the first two."""
HOSTILE = (
    "Before <script>window.pwned = 1</script> after.\n\n"
    '<img src="https://example.com/x.png" onerror="window.pwned = 2">\n\n'
    "![seen](https://example.com/y.png)\n\n"
    "A quoted tag: </think> stays text, `</think>` too.\n\n"
    "[a link](https://example.com/) and [a trap](javascript:window.pwned=3)\n\n"
    "```html\n<script>window.pwned = 4</script>\n```\n"
)
CODE = (
    "A comprehension does it, **without** a loop of its own:\n\n"
    "```python\ndef f(n):\n    print('called with', n)\n    return [i * i for i in range(n)]\n```\n\n"
    "| n | squares |\n|---|---|\n| 3 | 0, 1, 4 |\n\n"
    "1. `range(n)` counts from 0.\n2. Each number is multiplied by itself.\n"
)
ANSWERS = {
    "[hostile]": HOSTILE,
    "[hostile, long]": HOSTILE * 12,  # more than HELD_AT
    "[code]": CODE,
    "[unsure]": "Perhaps 23.",
    "[plain]": "The answer to that is **17**.",
    "[slow]": " ".join(f"word-{number}" for number in range(HELD_AT + 20)),
    "[ponder]": "It took a while.",
    "Predict the output.": "```output\n17\n```\n",
    "Find an input.": "```input\n9\n```\n",
    "Write the function.": "```python\ndef f(x, y):\n    x = x * 3\n    x = x + y\n    return x\n```\n",
}
STEPS = "x = 4 * 3 -> 12\nx = 12 + 5 -> 17\n"
PONDERED = " ".join(f"step-{number}" for number in range(1_000))


def page_scripts(request: GenerationRequest, index: int) -> Script:
    """Return the script for a prompt."""
    prompt = request.messages[-1].content
    if prompt.startswith("[seed]"):
        return Script(reasoning=SENTINEL, answer=f"Seed {request.seed}.")
    for key, answer in ANSWERS.items():
        if prompt.startswith(key):
            reasoning = PONDERED if key == "[ponder]" else f"<b>not bold</b> {STEPS}"
            return Script(reasoning=f"{SENTINEL} {reasoning}", answer=answer)
    return usual(request, index)
