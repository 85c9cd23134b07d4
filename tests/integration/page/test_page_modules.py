"""Tests of the page's modules without a DOM, called in the browser."""

from typing import Any

import pytest
from page_chat import Chat

from tina_azr.tasks import compact_prompts
from tina_azr.tasks.modes import MODES
from tina_azr.tasks.types import Example, Task
from tina_azr.text.style import PromptStyle


def call(chat: Chat, module: str, expression: str, *given: object) -> Any:
    """The value of an expression over a module `m` and arguments `a`."""
    load = f"const m = await import('{chat.url}/static/js/{module}.js')"
    return chat.page.evaluate(f"async (a) => {{ {load}; return {expression}; }}", list(given))


def test_examples_have_the_prompt_format_of_training(chat: Chat) -> None:
    shown = call(chat, "examples", "m.EXAMPLES.compact.map((each) => each.prompt)")
    deduction = Task(key="", mode="deduction", program="def f(x):\n    x = x * 3\n    x = x + 5\n    return x", input="4")
    abduction = Task(key="", mode="abduction", program="def f(x):\n    x = x - 6\n    x = abs(x)\n    return x", output="14")
    pairs = tuple(Example(input=given, output=wanted) for given, wanted in (("4, 2", "14"), ("13, 6", "45"), ("2, 11", "17")))
    induction = Task(key="", mode="induction", program="", message="times 3; add y", visible=pairs)
    assert shown == [
        compact_prompts.solve_deduction(deduction),
        compact_prompts.solve_abduction(abduction),
        compact_prompts.solve_induction(induction),
    ]


def test_events_are_parsed_wherever_the_stream_is_split(chat: Chat) -> None:
    text = ': ping\n\ndata: {"a": "é🐎"}\r\n\r\ndata:one\ndata: two\r\rdata: [DONE]\n\n'
    expression = """await (async () => {
        const bytes = new TextEncoder().encode(a[0]);
        const whole = new Set();
        for (let size = 1; size <= bytes.length; size += 1) {
            const stream = new ReadableStream({start(c) {
                for (let at = 0; at < bytes.length; at += size) c.enqueue(bytes.slice(at, at + size));
                c.close();
            }});
            const seen = [];
            for await (const payload of m.payloads(stream)) seen.push(payload);
            whole.add(JSON.stringify(seen));
        }
        return [...whole].map(JSON.parse);
    })()"""
    assert call(chat, "sse", expression, text) == [['{"a": "é🐎"}', "one\ntwo", "[DONE]"]]


def test_checks_are_found_in_prompt_and_answer(chat: Chat) -> None:
    program = "def f(x):\n    return x + 1"
    prompt = f"Predict.\n```python\n{program}\n```\n```input\n3\n```\n"
    claim = call(chat, "checks", "m.claimOf(a[0], a[1])", prompt, "So:\n```output\n4\n```")
    assert claim == {"program": program, "cases": [{"call": "f(3)", "expected": "4", "said": "answer"}]}
    assert call(chat, "checks", "m.claimOf(a[0], a[1])", "What is 3 + 1?", "```output\n4\n```") is None
    assert call(chat, "checks", "m.claimOf(a[0], a[1])", prompt, "No block, no claim.") is None


@pytest.mark.parametrize("style", PromptStyle)
def test_program_runs_on_the_examples_of_the_prompt(chat: Chat, style: PromptStyle) -> None:
    pairs = (Example(input="1, 'a -> b'", output="2"), Example(input="3, b'c'", output="[True, None, 1e3]"))
    prompt = MODES["induction"].solve_prompt(style, Task(key="", mode="induction", program="", message="add", visible=pairs))
    assert call(chat, "checks", "m.trialOf(a[0], a[1])", prompt, "def f(x, y):\n    return x")["cases"] == [
        {"call": "f(1, 'a -> b')", "expected": "2", "said": "prompt"},
        {"call": "f(3, b'c')", "expected": "[True, None, 1e3]", "said": "prompt"},
    ]


@pytest.mark.parametrize(
    "prompt",
    [
        "Go on.",
        "Find the shortest path, where edges are\n1 -> 2\n2 -> 3\n",
        "Write\nf(items: list) -> int\n",
        "Let f be as follows:\nf(n) == f(n - 1) + f(n - 2)\n",
        "```message\nadd\n```\nFrom x -> y it is not far.\n",
    ],
)
def test_arrow_in_prose_is_not_a_call(chat: Chat, prompt: str) -> None:
    assert call(chat, "checks", "m.trialOf(a[0], a[1])", prompt, "def f(x):\n    return x")["cases"] == [
        {"call": None, "expected": None}
    ]


def test_titles_summarise_the_prompt(chat: Chat) -> None:
    assert call(chat, "tree", "m.titleOf(a[0])", "Predict the output.\n```python\ndef f(x):\n    return x\n```\n") == (
        "Predict the output. def f(x): return x"
    )
    assert call(chat, "tree", "m.titleOf(a[0])", " \n ") == "New chat"
    assert len(call(chat, "tree", "m.titleOf(a[0])", "word " * 100)) <= 64


def test_a_conversation_is_a_tree(chat: Chat) -> None:
    shown = call(
        chat,
        "tree",
        """(() => {
            const c = m.newConversation();
            const first = m.addTurn(c, {content: "1"});
            const left = m.addTurn(c, {parent: first.id, content: "1a"});
            m.addTurn(c, {parent: left.id, content: "1aa"});
            const right = m.addTurn(c, {parent: first.id, content: "1b"});
            const texts = () => m.shownTurns(c).map((turn) => turn.content).join(" ");
            const seen = [texts()];
            m.chooseSibling(c, right, -1);
            seen.push(texts());
            m.chooseSibling(c, left, -1);
            seen.push(texts(), m.turnsBefore(c, right).map((turn) => turn.content).join(" "));
            return seen;
        })()""",
    )
    assert shown == ["1 1b", "1 1a 1aa", "1 1a 1aa", "1"]
