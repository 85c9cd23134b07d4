"""Tests of a turn on a terminal: folded reasoning, escaped model text, one line of introspection."""

import io
import re
from typing import Any

import pytest
from rich.console import Console

from tina_azr.cli.chat.display import TurnDisplay
from tina_azr.cli.turns import Turn, run_turn
from tina_azr.engine.types import FinishReason, GenerationRequest, Message, ThinkStop
from tina_azr.introspection.types import BudgetDecision, BudgetSource

SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


class Screen:
    """Terminal or file that records its output."""

    def __init__(self, *, terminal: bool) -> None:
        self._file = io.StringIO()
        self.console = Console(file=self._file, force_terminal=terminal, width=100, highlight=False, color_system=None)

    @property
    def raw(self) -> str:
        return self._file.getvalue()

    @property
    def text(self) -> str:
        """Return the text without terminal sequences and carriage returns."""
        return SEQUENCE.sub("", self.raw).replace("\r", "")


def show(engine: Any, *, terminal: bool = False, visible: bool = False, show_answer: bool = True) -> tuple[Screen, Turn]:
    screen = Screen(terminal=terminal)
    request = GenerationRequest(messages=(Message(role="user", content="8 + 9?"),), visible=visible)
    with TurnDisplay(screen.console, show_answer=show_answer) as display:
        turn = run_turn(engine, request, on_event=display.on_event)
        display.finish(turn)
    return screen, turn


def test_hidden_reasoning_is_one_line_before_the_answer(scripted_chat: Any) -> None:
    screen, _ = show(scripted_chat(pieces=("\n\n1", "7\nor ", "so")))
    first, *answer, footer = screen.text.splitlines()
    assert re.fullmatch(r"Thought for \d+\.\d s, 3 tokens, closed by itself", first)
    assert answer == ["17", "or so"]
    assert footer.startswith("plan verify 62 % · budget 52 predicted · used 3 · closed by itself · confidence 71 % -> 88 % · ")
    assert footer.endswith(" tokens/s")


def test_live_line_counts_reasoning_tokens_against_the_budget(scripted_chat: Any) -> None:
    screen, _ = show(scripted_chat(), terminal=True)
    assert "thinking 0/52 tokens" in screen.raw
    assert screen.raw.rindex("thinking") < screen.raw.rindex("\x1b[2K") < screen.raw.index("Thought for")


def test_output_that_is_not_a_terminal_gets_no_live_line(scripted_chat: Any) -> None:
    screen, _ = show(scripted_chat())
    assert "thinking" not in screen.raw
    assert "\x1b" not in screen.raw


def test_visible_reasoning_is_shown_before_its_summary(scripted_chat: Any) -> None:
    screen, _ = show(scripted_chat(), visible=True)
    assert screen.text.splitlines()[0] == "so it is"
    assert screen.text.splitlines()[1].startswith("Thought for")


def test_hidden_reasoning_never_reaches_the_screen(scripted_chat: Any) -> None:
    for terminal in (False, True):
        screen, _ = show(scripted_chat(reasoning=("SECRET", "SECRET")), terminal=terminal)
        assert "SECRET" not in screen.raw


@pytest.mark.parametrize("terminal", [False, True])
def test_model_text_is_neither_markup_nor_a_terminal_sequence(scripted_chat: Any, terminal: bool) -> None:
    said = "[bold]x[/bold] [/nonsense] :smile: \x1b]0;title\x07\x1b[2J\r\x9b31m \u202eabc"
    screen, _ = show(scripted_chat(pieces=(said,), reasoning=(said,)), terminal=terminal, visible=True)
    spelled = "[bold]x[/bold] [/nonsense] :smile: \\x1b]0;title\\x07\\x1b[2J\\r\\x9b31m \\u202eabc"
    assert screen.text.count(spelled) == 2
    for harmful in ("\x1b]", "\x07", "\x9b", "\u202e"):
        assert harmful not in screen.raw


def test_unicode_spaces_and_joiners_are_kept(scripted_chat: Any) -> None:
    said = "日本\u3000語, 5\u00a0%, \U0001f468\u200d\U0001f469, \u0645\u06cc\u200c\u062e"
    assert said in show(scripted_chat(pieces=(said,)))[0].text


def test_answer_is_not_shown_with_show_answer_false(scripted_chat: Any) -> None:
    lines = show(scripted_chat(), show_answer=False)[0].text.splitlines()
    assert len(lines) == 2
    assert (lines[0].startswith("Thought for"), lines[1].startswith("plan verify")) == (True, True)


def test_reasoning_without_an_answer_is_reported(scripted_chat: Any, made_generation: Any) -> None:
    ending = made_generation("", think_stop=ThinkStop.UNFINISHED, finish_reason=FinishReason.LENGTH, confidence_after=None)
    lines = show(scripted_chat(ending=ending))[0].text.splitlines()
    assert lines[0].endswith("3 tokens, not finished; no answer")
    assert "cut off at the token limit · confidence 71 % -> - ·" in lines[1]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"abstain": True}, "does not trust this answer"),
        ({"leak": True}, "holds a think tag"),
        (
            {
                "decision": BudgetDecision(
                    budget=2, think_limit=3, source=BudgetSource.REQUESTED, warning="far below [/what] it needs"
                )
            },
            "far below [/what] it needs",
        ),
    ],
)
def test_each_warning_has_a_line(scripted_chat: Any, made_generation: Any, changed: dict[str, Any], words: str) -> None:
    assert words in show(scripted_chat(ending=made_generation(**changed)))[0].text
    assert words not in show(scripted_chat())[0].text


def test_without_heads_there_is_no_plan_and_no_confidence(scripted_chat: Any, made_generation: Any) -> None:
    decision = BudgetDecision(budget=256, think_limit=384, source=BudgetSource.DEFAULT)
    footer = show(scripted_chat(ending=made_generation(forecast=None, confidence_after=None, decision=decision)))[
        0
    ].text.splitlines()[-1]
    assert footer.startswith("budget 256 default · used 3 · closed by itself · ")
    assert "confidence" not in footer


def test_an_interrupted_line_is_ended(scripted_chat: Any) -> None:
    screen = Screen(terminal=False)
    engine = scripted_chat(on_step=lambda number: 1 / 0 if number == 6 else None)
    request = GenerationRequest(messages=(Message(role="user", content="x"),))
    with pytest.raises(ZeroDivisionError), TurnDisplay(screen.console) as display:
        run_turn(engine, request, on_event=display.on_event)
    assert screen.text.endswith("1\n")
