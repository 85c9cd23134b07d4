"""Tests of running one request: events, times, Ctrl-C."""

import os
import signal
from typing import Any

import pytest

from tina_azr.cli.turns import Interrupts, run_turn
from tina_azr.engine.types import Event, Finished, FinishReason, GenerationRequest, Message, Started
from tina_azr.errors import ServeError

REQUEST = GenerationRequest(messages=(Message(role="user", content="8 + 9?"),))


def press() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_events_are_passed_on_in_order_and_finished_is_last(scripted_chat: Any) -> None:
    seen: list[Event] = []
    turn = run_turn(scripted_chat(), REQUEST, on_event=seen.append)
    assert [type(event).__name__ for event in seen] == [
        "Started",
        *["Thinking"] * 3,
        "ReasoningEnded",
        *["Answering"] * 2,
        "Finished",
    ]
    assert turn.generation.answer == "17"
    assert isinstance(seen[-1], Finished)
    assert seen[-1].generation is turn.generation


def test_times_add_up_to_the_total(scripted_chat: Any) -> None:
    clock = run_turn(scripted_chat(), REQUEST).clock
    assert 0 < clock.first_token < clock.first_token + clock.think < clock.total
    assert clock.tokens_per_second == pytest.approx(5 / (clock.total - clock.first_token))


def test_listeners_are_called_between_steps(scripted_chat: Any) -> None:
    engine = scripted_chat()
    inside: list[bool] = []
    run_turn(engine, REQUEST, on_event=lambda event: inside.append(engine.in_step))
    assert inside == [False] * 8


def test_a_failure_is_an_error_with_the_engines_message(scripted_chat: Any) -> None:
    with pytest.raises(ServeError, match="no numbers"):
        run_turn(scripted_chat(failure="the model gave no numbers"), REQUEST)


def test_engine_that_stops_without_finishing_is_an_error(scripted_chat: Any) -> None:
    engine = scripted_chat()
    with pytest.raises(ServeError, match="please report this bug"):
        run_turn(engine, REQUEST, on_event=lambda event: engine._events.clear() if isinstance(event, Started) else None)


def test_first_ctrl_c_cancels_and_keeps_the_text(scripted_chat: Any) -> None:
    engine = scripted_chat(pieces=("a", "b", "c"), on_step=lambda number: press() if number == 6 else None)
    with Interrupts() as interrupts:
        turn = run_turn(engine, REQUEST, interrupts=interrupts)
    assert interrupts.requested
    assert (turn.generation.answer, turn.generation.finish_reason) == ("ab", FinishReason.CANCELLED)


def test_second_ctrl_c_raises(scripted_chat: Any) -> None:
    engine = scripted_chat(on_step=lambda number: (press(), press()) if number == 2 else None)
    with pytest.raises(KeyboardInterrupt), Interrupts() as interrupts:
        run_turn(engine, REQUEST, interrupts=interrupts)


def test_signal_handler_is_restored() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(ZeroDivisionError), Interrupts():
        raise ZeroDivisionError
    assert signal.getsignal(signal.SIGINT) is before
