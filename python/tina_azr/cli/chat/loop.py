"""Conversation loops: one prompt through a pipe, or turn after turn at a terminal."""

import json
import secrets
from dataclasses import dataclass

import click
from rich.console import Console

from tina_azr.cli.chat.display import TurnDisplay
from tina_azr.cli.chat.reader import Reader
from tina_azr.cli.chat.record import turn_record
from tina_azr.cli.chat.state import Chat, read_line
from tina_azr.cli.console import held_keys, print_line
from tina_azr.cli.main import INTERRUPTED
from tina_azr.cli.summaries import FINISHES, STOPS, list_warnings
from tina_azr.cli.turns import Interrupts, Turn, run_turn
from tina_azr.engine.types import (
    Answering,
    ChatEngine,
    Event,
    FinishReason,
    Generation,
    GenerationRequest,
    ReasoningEnded,
    Thinking,
)
from tina_azr.errors import ServeError
from tina_azr.formatting import visible

OK = 0
_SEEDS = 1 << 31


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """Sampling options of the command line, for every turn."""

    max_tokens: int | None
    temperature: float | None
    top_p: float | None
    seed: int | None
    """None: a new one for each turn."""

    def request(self) -> GenerationRequest:
        """Return a request with these options and without messages."""
        seed = secrets.randbelow(_SEEDS) if self.seed is None else self.seed
        return GenerationRequest(max_tokens=self.max_tokens, temperature=self.temperature, top_p=self.top_p, seed=seed)


def answer_once(engine: ChatEngine, chat: Chat, prompt: str, sampling: Sampling, *, as_json: bool) -> int:
    """Print the answer to one prompt, and nothing else, on standard output.

    Return the exit status. Raises ServeError if there is no answer.
    """
    request = chat.request(prompt, sampling.request())
    begun = open_line = False

    def write(event: Event) -> None:
        nonlocal begun, open_line
        if isinstance(event, Thinking) and event.text:
            click.echo(visible(event.text), nl=False, err=True)
        if isinstance(event, ReasoningEnded) and request.visible:
            click.echo(err=True)
        if isinstance(event, Answering) and not as_json:
            text = event.text if begun else event.text.lstrip("\n")
            begun = begun or bool(text)
            open_line = not text.endswith("\n") if text else open_line
            click.echo(visible(text), nl=False)

    with Interrupts() as interrupts:
        turn = run_turn(engine, request, on_event=write, interrupts=interrupts)
    if as_json:
        click.echo(json.dumps(turn_record(turn, model=chat.model, prompt=prompt, seed=request.seed)))
    elif open_line:
        click.echo()
    for warning in list_warnings(turn.generation):
        click.echo(visible(warning), err=True)
    if interrupts.requested:
        return INTERRUPTED
    _check(turn.generation)
    return OK


def _check(generation: Generation) -> None:
    if not generation.answer.strip():
        raise ServeError(
            f"no answer: the reasoning was {STOPS[generation.think_stop]} after {generation.think_tokens} tokens, and the completion was "
            f"{FINISHES[generation.finish_reason]}; change --max-tokens, --budget or --seed"
        )
    if generation.finish_reason is FinishReason.LENGTH:
        click.echo(f"the answer is {FINISHES[generation.finish_reason]}: --max-tokens allows more", err=True)


class Conversation:
    """Conversation at a terminal, until the user leaves."""

    def __init__(
        self,
        engine: ChatEngine,
        chat: Chat,
        sampling: Sampling,
        *,
        reader: Reader,
        console: Console,
        as_json: bool = False,
        plain_output: bool = False,
    ) -> None:
        """Create the conversation. `console` shows everything except answers. `plain_output` prints answers as plain text."""
        self.chat = chat
        self._engine = engine
        self._sampling = sampling
        self._reader = reader
        self._console = console
        self._as_json = as_json
        self._plain_output = plain_output

    def run(self) -> int:
        """Run until the user leaves. Return the exit status."""
        interrupted = False
        while True:
            try:
                line = self._reader()
            except EOFError:
                return OK
            except KeyboardInterrupt:
                if interrupted:
                    return INTERRUPTED
                interrupted = True
                self._print("Ctrl-C again leaves; so does Ctrl-D")
                continue
            interrupted = False
            reply = read_line(self.chat, line)
            self.chat = reply.chat
            if reply.text:
                self._print(reply.text)
            if reply.exit:
                return OK
            if reply.prompt is None:
                continue
            try:
                interrupted = self._turn(reply.prompt)
            except ServeError as error:
                # One request failed, for example because it is too long. The conversation continues.
                self._print(str(error), style="red")
            except KeyboardInterrupt:
                return INTERRUPTED

    def _turn(self, prompt: str) -> bool:
        """Send the prompt and show the answer. Return True if the user stopped it."""
        request = self.chat.request(prompt, self._sampling.request())
        show_answer = not (self._as_json or self._plain_output)
        # Set again for each answer, because Ctrl-Z and `fg` restore the shell's terminal modes.
        with held_keys(), Interrupts() as interrupts, TurnDisplay(self._console, show_answer=show_answer) as display:
            turn = run_turn(self._engine, request, on_event=display.on_event, interrupts=interrupts)
            if self._as_json:
                click.echo(json.dumps(turn_record(turn, model=self.chat.model, prompt=prompt, seed=request.seed)))
            elif self._plain_output:
                click.echo(visible(turn.generation.answer))
            display.finish(turn)
        self._remember_turn(prompt, turn)
        if interrupts.requested:
            self._print("stopped; Ctrl-C again leaves")
        return interrupts.requested

    def _remember_turn(self, prompt: str, turn: Turn) -> None:
        if turn.generation.answer.strip():
            self.chat = self.chat.with_turn(prompt, turn.generation.answer)
        else:
            self._print("there is no answer, so this turn is not kept")

    def _print(self, text: str, style: str = "dim") -> None:
        print_line(self._console, visible(text), style)
