"""`tina-azr chat`: a conversation with a model that forecasts its reasoning length and its confidence."""

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tina_azr.cli.console import held_keys
from tina_azr.cli.model_options import (
    BUDGET,
    DEVICE,
    DTYPE,
    EMBEDDED_NOTE,
    MAX_SEED,
    MODEL,
    SYSTEM,
    budget_of,
    config_options,
    model_config,
    names_embedded,
    open_chat_engine,
    sampling_options,
)
from tina_azr.errors import ConfigError

if TYPE_CHECKING:
    from tina_azr.cli.chat.loop import Sampling
    from tina_azr.cli.chat.state import Chat
    from tina_azr.config import Config

EPILOG = """\b
Examples:
  tina-azr chat                                       the embedded model, at the terminal
  tina-azr chat --model Qwen/Qwen3-4B-Thinking-2507 --budget high
  tina-azr chat --model FOLDER -p 'What is 17 * 23?'  one answer on standard output, nothing else
  git diff | tina-azr chat --model FOLDER -p 'Review this change:' -p -
  tina-azr chat -p "$(cat task.txt)" --json | jq .cE

\b
At the terminal /help lists the commands: /reset /system /visible /hidden /budget /save /load /example /exit.
Ctrl-C stops an answer, twice leaves; Ctrl-D leaves.

\b
The object of --json, one line a turn:
  model, prompt, answer, thought (null unless --visible), seed, finish_reason (stop, length or cancelled)
  plan     {choice, probabilities}, or null without heads
  budget   {predicted: {"0.5", "0.8", "0.95"} or null, budget, wall, source, warning}
  used     think tokens; think_stop (closed, slack, wall, answer_now or unfinished), forced_close, leak
  c0, cE   confidence before and after reasoning, or null; abstain; calibration (a digest, or null)
  timing   prompt_tokens, think_tokens, answer_tokens, seconds, think_seconds, time_to_first_token, tokens_per_second

\b
Exit status: 0 answered or left, 1 no answer or a model that cannot be used, 2 wrong flag or empty prompt, 130 Ctrl-C.
"""


@click.command(epilog=EPILOG)
@MODEL
@click.option("-p", "--prompt", "prompts", multiple=True, metavar="PROMPT", help="Answer this and end; `-` is standard input.")
@SYSTEM
@BUDGET
@click.option("--visible", is_flag=True, help="Show the reasoning; with -p on standard error.")
@sampling_options
@click.option("--seed", type=click.IntRange(0, MAX_SEED), metavar="S", help="Seed of every turn. Default: a new one for each turn.")
@DEVICE
@DTYPE
@config_options
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object a turn on standard output, the rest on standard error."
)
def chat(
    model: str | None,
    prompts: tuple[str, ...],
    system: str | None,
    budget: str,
    visible: bool,
    temperature: float | None,
    top_p: float | None,
    max_tokens: int | None,
    seed: int | None,
    device: str | None,
    dtype: str | None,
    preset: str | None,
    config_file: Path | None,
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """Chat with a model, at the terminal or through a pipe.

    Before it thinks, the model forecasts its plan, how many think tokens the question needs and how likely it is to be right; the
    forecast is its budget. The reasoning is folded into one line unless --visible is given.
    """
    budget_of(budget)
    config = model_config(preset, config_file, overrides, model=model, device=device, dtype=dtype)
    prompt = None if not prompts and sys.stdin.isatty() else _prompt(prompts)

    # Held until the end. A prompt sets its own terminal modes and restores these, so no key is lost in between.
    with held_keys() if prompt is None else nullcontext():
        from tina_azr.cli.chat.loop import Sampling
        from tina_azr.cli.chat.state import Chat

        start = Chat(model=config.model.name, system=system, visible=visible, budget=budget)
        sampling = Sampling(max_tokens=max_tokens, temperature=temperature, top_p=top_p, seed=seed)
        if prompt is None:
            status = _converse(start, sampling, config, as_json=as_json)
        else:
            status = _answer(start, prompt, sampling, config, as_json=as_json)
    if status:
        raise click.exceptions.Exit(status)


def _prompt(prompts: tuple[str, ...]) -> str:
    """Read the prompt from -p or standard input. Raises ConfigError if it is empty."""
    try:
        parts = [sys.stdin.read() if part == "-" else part for part in prompts or ("-",)]
    except UnicodeDecodeError as error:
        raise ConfigError(f"standard input is not UTF-8 text: {error}") from error
    prompt = parts[0] if len(parts) == 1 else "\n\n".join(part.strip("\n") for part in parts)
    if not prompt.strip():
        raise ConfigError("the prompt is empty: give -p PROMPT, or text on standard input")
    return prompt


def _answer(start: "Chat", prompt: str, sampling: "Sampling", config: "Config", *, as_json: bool) -> int:
    from tina_azr.cli.chat.loop import answer_once

    if names_embedded(config):
        click.echo(EMBEDDED_NOTE, err=True)
    engine = open_chat_engine(config, lambda note: click.echo(note, err=True), shown=not as_json)
    return answer_once(engine, start, prompt, sampling, as_json=as_json)


def _converse(start: "Chat", sampling: "Sampling", config: "Config", *, as_json: bool) -> int:
    from rich.console import Console

    from tina_azr.cli.chat.loop import Conversation
    from tina_azr.cli.chat.reader import open_history, open_reader, state_folder
    from tina_azr.cli.console import print_line

    apart = as_json or not sys.stdout.isatty()
    console = Console(stderr=apart, highlight=False, markup=False)
    engine = open_chat_engine(config, lambda note: print_line(console, note, "yellow"))
    greeting = f"{EMBEDDED_NOTE} /example sends one task," if names_embedded(config) else f"{start.model};"
    print_line(console, f"{greeting} /help lists the commands.", "dim")
    history, trouble = open_history(state_folder())
    if trouble is not None:
        print_line(console, trouble, "yellow")
    conversation = Conversation(
        engine,
        start,
        sampling,
        reader=open_reader(history, to_stderr=apart),
        console=console,
        as_json=as_json,
        plain_output=apart and not as_json,
    )
    return conversation.run()
