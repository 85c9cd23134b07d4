"""Tests of `tina-azr chat` with a scripted engine: pipes, JSON, turns at a terminal, exit statuses."""

import io
import json
import os
import pty
import signal
import sys
import termios
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from tina_azr.cli.chat import command
from tina_azr.cli.chat import reader as chat_reader
from tina_azr.cli.chat.loop import Conversation, Sampling
from tina_azr.cli.chat.state import Chat
from tina_azr.cli.main import cli
from tina_azr.config import Config
from tina_azr.engine.types import FinishReason, ThinkStop

KEYS = {
    "model", "prompt", "answer", "thought", "seed", "finish_reason", "plan", "budget", "used", "think_stop", "forced_close", "leak",
    "c0", "cE", "abstain", "calibration", "timing",
}  # fmt: skip
BUDGET_KEYS = {"predicted", "budget", "wall", "source", "warning"}
TIMING_KEYS = {
    "prompt_tokens", "think_tokens", "answer_tokens", "seconds", "think_seconds", "time_to_first_token", "tokens_per_second",
}  # fmt: skip
Call = Callable[..., Result]


@pytest.fixture
def engine(scripted_chat: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    scripted = scripted_chat()
    scripted.opened = []

    def open_it(config: Config, notify: Callable[[str], None], *, shown: bool = True) -> Any:
        scripted.opened.append((config.model.name, config.model.device, config.model.dtype))
        return scripted

    monkeypatch.setattr(command, "open_chat_engine", open_it)
    return scripted


def call(*arguments: str, text: str | bytes | None = None) -> Result:
    return CliRunner().invoke(cli, ["chat", *arguments], input=text)


def test_only_the_answer_is_printed(engine: Any) -> None:
    engine.pieces = ("\n\n1", "7\n", "[/b]\x1b[2J")
    result = call("--model", "m", "-p", "8 + 9?")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "17\n[/b]\\x1b[2J\n", "")
    assert [message.content for message in engine.requests[0].messages] == ["8 + 9?"]


def test_answer_with_a_newline_gets_no_second_newline(engine: Any) -> None:
    engine.pieces = ("17\n",)
    assert call("--model", "m", "-p", "8 + 9?").stdout == "17\n"


def test_prompt_defaults_to_standard_input(engine: Any) -> None:
    assert call("--model", "m", text="8 + 9?\n").stdout == "17\n"
    assert engine.requests[0].messages[0].content == "8 + 9?\n"


def test_prompts_are_joined_and_a_dash_is_standard_input(engine: Any) -> None:
    call("--model", "m", "-p", "Review:", "-p", "-", text="+ line\n")
    assert engine.requests[0].messages[0].content == "Review:\n\n+ line"


def test_given_prompt_does_not_read_standard_input(engine: Any) -> None:
    call("--model", "m", "-p", "Review:", text="not read")
    assert engine.requests[0].messages[0].content == "Review:"


@pytest.mark.parametrize("arguments", [(), ("-p", " \n")])
def test_an_empty_prompt_is_refused_before_anything_is_loaded(engine: Any, arguments: Sequence[str]) -> None:
    result = call(*arguments, text="")
    assert (result.exit_code, result.stdout, engine.opened) == (2, "", [])
    assert "the prompt is empty" in result.stderr


def test_input_that_is_not_utf8_is_refused(engine: Any) -> None:
    result = call(text=b"\xff\xfe")
    assert result.exit_code == 2
    assert "not UTF-8" in result.stderr


def test_default_model_is_the_embedded_one_with_a_note(engine: Any) -> None:
    result = call("-p", "8 + 9?")
    assert engine.opened == [("tiny", "auto", "float32")]
    assert result.stdout == "17\n"
    (line,) = result.stderr.splitlines()
    assert "cannot hold a conversation" in line
    assert "--model Qwen/" in line


def test_the_options_reach_the_request(engine: Any) -> None:
    call(
        *("--model", "m", "-p", "x", "--system", "be brief", "--budget", "high", "--visible", "--temperature", "0.5"),
        *("--top-p", "0.9", "--max-tokens", "99", "--seed", "7", "--device", "cpu", "--dtype", "bfloat16"),
    )
    (request,) = engine.requests
    assert [message.role for message in request.messages] == ["system", "user"]
    assert (request.temperature, request.top_p, request.max_tokens, request.seed) == (0.5, 0.9, 99, 7)
    assert (request.visible, request.budget_tokens, request.budget_quantile) == (True, None, 0.95)
    assert engine.opened == [("m", "cpu", "bfloat16")]


def test_options_that_are_not_given_are_none_and_seeds_differ(engine: Any) -> None:
    for _ in range(4):
        call("--model", "m", "-p", "x")
    first = engine.requests[0]
    assert (first.temperature, first.top_p, first.max_tokens, first.budget_tokens, first.budget_quantile) == (None,) * 5
    assert len({request.seed for request in engine.requests}) > 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("--budget", "-1"),
        ("--budget", "lots"),
        ("--temperature", "-0.1"),
        ("--temperature", "nan"),
        ("--top-p", "0"),
        ("--top-p", "nan"),
        ("--max-tokens", "0"),
        ("--seed", "-1"),
    ],
)
def test_a_wrong_flag_is_refused_before_anything_is_loaded(engine: Any, arguments: Sequence[str]) -> None:
    result = call("-p", "x", *arguments)
    assert (result.exit_code, result.stdout, engine.opened) == (2, "", [])


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "cpu:0"])
def test_a_device_that_does_not_exist_is_refused(device: str) -> None:
    result = call("-p", "x", "--device", device)
    assert result.exit_code == 2
    assert f"device '{device}': give auto, cpu, cuda or cuda:N" in result.stderr


def test_a_model_that_does_not_exist_is_an_error() -> None:
    result = call("-p", "x", "--model", "./none")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "no model folder at ./none" in result.stderr


def test_visible_reasoning_goes_to_standard_error(engine: Any) -> None:
    result = call("--model", "m", "-p", "x", "--visible")
    assert (result.stdout, result.stderr) == ("17\n", "so it is\n")


def test_json_is_one_object_with_the_documented_fields(engine: Any) -> None:
    result = call("--model", "m", "-p", "8 + 9?", "--json", "--seed", "7")
    record = json.loads(result.stdout)
    assert (set(record), set(record["budget"]), set(record["timing"])) == (KEYS, BUDGET_KEYS, TIMING_KEYS)
    assert (record["answer"], record["thought"], record["seed"], record["think_stop"]) == ("17", None, 7, "closed")
    assert record["plan"]["choice"] == "verify"
    assert record["budget"]["predicted"] == {"0.5": 31.0, "0.8": 52.0, "0.95": 78.0}
    assert (record["c0"], record["cE"], record["used"]) == (0.71, 0.88, 3)


def test_the_help_documents_every_field_of_json() -> None:
    documented = call("--help").stdout
    assert [key for key in KEYS | BUDGET_KEYS | TIMING_KEYS if key not in documented] == []


def test_json_keeps_text_as_it_is(engine: Any) -> None:
    engine.pieces = ("\x1b[2J é",)
    assert json.loads(call("--model", "m", "-p", "x", "--json").stdout)["answer"] == "\x1b[2J é"


def test_missing_answer_is_an_error_with_its_reason(engine: Any, made_generation: Any) -> None:
    engine.ending = made_generation("", think_stop=ThinkStop.UNFINISHED, finish_reason=FinishReason.LENGTH, confidence_after=None)
    result = call("--model", "m", "-p", "x")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "no answer: the reasoning was not finished after 3 tokens" in result.stderr


def test_cut_answer_is_printed_with_a_note_on_standard_error(engine: Any, made_generation: Any) -> None:
    engine.ending = made_generation(finish_reason=FinishReason.LENGTH)
    result = call("--model", "m", "-p", "x")
    assert (result.exit_code, result.stdout) == (0, "17\n")
    assert "cut off" in result.stderr


def test_failed_request_is_an_error(engine: Any) -> None:
    engine.refusal = "the prompt has 5000 tokens"
    result = call("--model", "m", "-p", "x")
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", "Error: the prompt has 5000 tokens\n")


def test_ctrl_c_ends_a_pipe_with_the_text_so_far(engine: Any) -> None:
    engine.on_step = lambda number: os.kill(os.getpid(), signal.SIGINT) if number == 5 else None
    result = call("--model", "m", "-p", "x")
    assert (result.exit_code, result.stdout) == (130, "1\n")


# At a terminal.


class Typist:
    """Reader double that returns the given lines and raises the given exceptions."""

    def __init__(self, *keys: str | type[BaseException]) -> None:
        self._keys = list(keys)

    def __call__(self) -> str:
        key = self._keys.pop(0)
        if isinstance(key, str):
            return key
        raise key


def converse(engine: Any, *keys: str | type[BaseException], **options: Any) -> tuple[int, str, Conversation]:
    file = io.StringIO()
    conversation = Conversation(
        engine,
        Chat(model="m"),
        Sampling(max_tokens=None, temperature=None, top_p=None, seed=3),
        reader=Typist(*keys),
        console=Console(file=file, width=100, highlight=False, color_system=None),
        **options,
    )
    return conversation.run(), file.getvalue(), conversation


def test_conversation_keeps_earlier_turns(scripted_chat: Any) -> None:
    engine = scripted_chat()
    status, _, conversation = converse(engine, "8 + 9?", "sure?", EOFError)
    assert status == 0
    assert [message.content for message in engine.requests[1].messages] == ["8 + 9?", "17", "sure?"]
    assert len(conversation.chat.messages) == 4


def test_reset_clears_the_messages_of_the_next_request(scripted_chat: Any) -> None:
    engine = scripted_chat()
    converse(engine, "8 + 9?", "/reset", "/system be brief", "sure?", "/exit")
    assert [message.content for message in engine.requests[1].messages] == ["be brief", "sure?"]


def test_example_is_sent_to_the_model(scripted_chat: Any) -> None:
    engine = scripted_chat()
    _, shown, _ = converse(engine, "/example", EOFError)
    assert engine.requests[0].messages[0].content.startswith("Predict the output.\n```python")
    assert "Predict the output." in shown
    assert "started again" not in shown


def test_example_starts_a_new_conversation(scripted_chat: Any) -> None:
    engine = scripted_chat()
    _, shown, conversation = converse(engine, "8 + 9?", "/system be brief", "/example", EOFError)
    assert [message.role for message in engine.requests[1].messages] == ["system", "user"]
    assert shown.count("started again: the conversation so far is forgotten") == 1
    assert len(conversation.chat.messages) == 2


def test_second_ctrl_c_at_the_prompt_exits(scripted_chat: Any) -> None:
    status, shown, _ = converse(scripted_chat(), KeyboardInterrupt, KeyboardInterrupt)
    assert status == 130
    assert "Ctrl-C again leaves" in shown


def test_two_ctrl_c_with_a_line_between_do_not_exit(scripted_chat: Any) -> None:
    assert converse(scripted_chat(), KeyboardInterrupt, "/help", KeyboardInterrupt, EOFError)[0] == 0


def test_ctrl_c_stops_the_answer_but_not_the_program(scripted_chat: Any) -> None:
    engine = scripted_chat(on_step=lambda number: os.kill(os.getpid(), signal.SIGINT) if number == 5 else None)
    status, shown, conversation = converse(engine, "8 + 9?", EOFError)
    assert status == 0
    assert "stopped" in shown
    assert [message.content for message in conversation.chat.messages] == ["8 + 9?", "1"]


def test_ctrl_c_after_a_stopped_answer_exits(scripted_chat: Any) -> None:
    engine = scripted_chat(on_step=lambda number: os.kill(os.getpid(), signal.SIGINT) if number == 5 else None)
    assert converse(engine, "8 + 9?", KeyboardInterrupt)[0] == 130


def test_second_ctrl_c_during_an_answer_exits(scripted_chat: Any) -> None:
    def press_twice(number: int) -> None:
        if number == 2:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    assert converse(scripted_chat(on_step=press_twice), "8 + 9?")[0] == 130


def test_turn_without_an_answer_is_not_kept(scripted_chat: Any, made_generation: Any) -> None:
    ending = made_generation("", think_stop=ThinkStop.UNFINISHED, finish_reason=FinishReason.LENGTH, confidence_after=None)
    _, shown, conversation = converse(scripted_chat(ending=ending), "8 + 9?", EOFError)
    assert conversation.chat.messages == ()
    assert "not kept" in shown


def test_failed_request_does_not_end_the_conversation(scripted_chat: Any) -> None:
    status, shown, conversation = converse(scripted_chat(refusal="too [/b] long"), "x", EOFError)
    assert (status, conversation.chat.messages) == (0, ())
    assert "too [/b] long" in shown


def test_with_json_every_turn_is_an_object_on_standard_output(scripted_chat: Any, capsys: pytest.CaptureFixture[str]) -> None:
    _, shown, _ = converse(scripted_chat(), "8 + 9?", "sure?", EOFError, as_json=True)
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(record["prompt"], record["answer"], record["seed"]) for record in records] == [("8 + 9?", "17", 3), ("sure?", "17", 3)]
    # And no answer, which cannot be asked of the text as a whole: a rate may be written 17.3 k.
    assert [line.split()[0] for line in shown.splitlines()] == ["Thought", "plan"] * 2


def test_plain_output_prints_only_answers_on_standard_output(scripted_chat: Any, capsys: pytest.CaptureFixture[str]) -> None:
    converse(scripted_chat(), "8 + 9?", EOFError, plain_output=True)
    assert capsys.readouterr().out == "17\n"


@pytest.mark.parametrize("continued_at", [None, 4])
def test_typeahead_between_prompts_is_kept(
    engine: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, continued_at: int | None
) -> None:
    ours, theirs = pty.openpty()
    usual = termios.tcgetattr(theirs)
    echoed: list[bool] = []

    def look(number: int | None = None) -> None:
        echoed.append(bool(termios.tcgetattr(theirs)[3] & termios.ECHO))
        if number is not None and number == continued_at:  # after Ctrl-Z, by a shell with its own modes
            termios.tcsetattr(theirs, termios.TCSANOW, usual)

    def reader(line: Callable[[], str]) -> Callable[[], str]:
        return lambda: look() or line()

    engine.on_step = look
    monkeypatch.setattr(chat_reader, "open_reader", lambda history, *, to_stderr: reader(Typist("8 + 9?", "sure?", EOFError)))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    with open(ours, "rb", buffering=0), open(theirs) as keyboard:
        monkeypatch.setattr(sys, "stdin", keyboard)
        cli(["chat"], standalone_mode=False)
        # Before each prompt, which sets modes of its own, and at each step of an answer but for the rest of one that was stopped.
        rest = 0 if continued_at is None else 7 - continued_at
        assert echoed == [False] * (1 + 8 - rest) + [True] * rest + [False] * (1 + 8 + 1)
        look()
    assert echoed[-1]


def test_saved_conversation_can_be_continued(scripted_chat: Any, tmp_path: Path) -> None:
    converse(scripted_chat(), "8 + 9?", f"/save {tmp_path / 'c'}", EOFError)
    engine = scripted_chat()
    converse(engine, f"/load {tmp_path / 'c'}", "sure?", EOFError)
    assert [message.content for message in engine.requests[0].messages] == ["8 + 9?", "17", "sure?"]
