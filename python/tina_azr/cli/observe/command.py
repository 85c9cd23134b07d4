"""`tina-azr observe`: the answer to one prompt, with the forecast, the confidence and the activations."""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import click

from tina_azr.cli.main import INTERRUPTED
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
    example_for,
    model_config,
    names_embedded,
    open_chat_engine,
    sampling_options,
)
from tina_azr.errors import ConfigError

if TYPE_CHECKING:
    from tina_azr.cli.turns import Interrupts
    from tina_azr.engine.engine import IntrospectiveEngine
    from tina_azr.engine.observation import Observation
    from tina_azr.engine.types import GenerationRequest

EPILOG = """\b
Examples:
  tina-azr observe                                    a small task for the embedded model
  tina-azr observe --model runs/first                 the same, with the newest checkpoint of a run
  tina-azr observe 'How many primes are below 100?' --model FOLDER --png answer.png
  tina-azr observe - --json < task.txt | jq '.heads, .cE'
  tina-azr observe PROMPT --jsonl-out records.jsonl   one more line in that file
  tina-azr observe --schema > schema.json             JSON Schema (2020-12) of the record

\b
Exit status: 0 observed (also an answer that was cut off), 1 a model that cannot be used, 2 wrong flag or empty prompt, 130 Ctrl-C.
"""


@click.command(epilog=EPILOG)
@click.argument("prompt", required=False)
@MODEL
@SYSTEM
@BUDGET
@click.option("--visible", is_flag=True, help="Keep and show the reasoning.")
@sampling_options
@click.option("--seed", type=click.IntRange(0, MAX_SEED), default=0, show_default=True, metavar="S", help="Seed of the sampling.")
@click.option("--tag", "tags", multiple=True, metavar="NAME", help="Also count tokens between <NAME> and </NAME>; repeatable.")
@DEVICE
@DTYPE
@config_options
@click.option("--json", "as_json", is_flag=True, help="Print the record instead of the panel.")
@click.option("--png", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Also draw it.")
@click.option("--jsonl-out", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Also append the record.")
@click.option("--schema", is_flag=True, help="Print the record's JSON Schema and end.")
def observe(
    prompt: str | None,
    model: str | None,
    system: str | None,
    budget: str,
    visible: bool,
    temperature: float | None,
    top_p: float | None,
    max_tokens: int | None,
    seed: int,
    tags: tuple[str, ...],
    device: str | None,
    dtype: str | None,
    preset: str | None,
    config_file: Path | None,
    overrides: tuple[str, ...],
    as_json: bool,
    png: Path | None,
    jsonl_out: Path | None,
    schema: bool,
) -> None:
    """Answer PROMPT (`-`: standard input) and show forecast, reasoning length, confidence and activations.

    Shows the plan, the think budget and the tokens used, the confidence before and after reasoning, and the heads' attention over layers.
    Also shows state norms and attention entropies at the last token of the prompt.
    """
    if schema:
        from tina_azr.engine.observation import observation_schema

        click.echo(json.dumps(observation_schema(), indent=2))
        return
    budget_tokens, budget_quantile = budget_of(budget)
    config = model_config(preset, config_file, overrides, model=model, device=device, dtype=dtype)
    text = _prompt(prompt, config.model.name, shown=not as_json)

    from tina_azr.cli.console import status_line
    from tina_azr.cli.turns import Interrupts
    from tina_azr.engine.types import GenerationRequest, Message

    if names_embedded(config):
        click.echo(EMBEDDED_NOTE, err=True)
    engine = open_chat_engine(config, lambda note: click.echo(note, err=True), tags=tags, shown=not as_json)
    first = () if system is None else (Message(role="system", content=system),)
    request = GenerationRequest(
        messages=(*first, Message(role="user", content=text)),
        max_tokens=max_tokens,
        temperature=temperature,
        top_p=top_p,
        seed=seed,
        budget_tokens=budget_tokens,
        budget_quantile=budget_quantile,
        visible=visible,
        logprobs=True,
    )
    with Interrupts() as interrupts, status_line("reading the prompt", shown=not as_json) as on_progress:
        record = observe_request(engine, request, interrupts, on_progress)
    _write_record(record, text, as_json=as_json, png=png, jsonl_out=jsonl_out)
    if interrupts.requested:
        raise click.exceptions.Exit(INTERRUPTED)


def _prompt(given: str | None, model: str, *, shown: bool) -> str:
    if given is None:
        from tina_azr.cli.console import loading

        with loading(model, shown=shown):
            example = example_for(model)
        if example is None:
            raise ConfigError(
                "there is no prompt: give PROMPT, or `-` and text on standard input. Only models that were trained from the embedded one "
                f"have an example, and {model} is not known to be one"
            )
        return example
    if given == "-":
        try:
            given = sys.stdin.read()
        except UnicodeDecodeError as error:
            raise ConfigError(f"standard input is not UTF-8 text: {error}") from error
    if not given.strip():
        raise ConfigError("there is no prompt: give PROMPT, or `-` and text on standard input")
    return given


def observe_request(
    engine: "IntrospectiveEngine",
    request: "GenerationRequest",
    interrupts: "Interrupts | None" = None,
    on_progress: Callable[[str], None] = lambda words: None,
) -> "Observation":
    """Answer the request and observe it; `tell` hears again and again how far it is."""
    from tina_azr.cli.turns import run_turn
    from tina_azr.engine.observation import Decode, ModulatorSummary, Timing, observe_generation, read_activations
    from tina_azr.engine.types import Answering, Event, Thinking

    def report_count(event: Event) -> None:
        if isinstance(event, Thinking):
            on_progress(f"thinking: {event.think_tokens:,} tokens")
        elif isinstance(event, Answering):
            on_progress(f"answering: {event.tokens:,} tokens")

    policy, settings, modulator = engine.policy, engine.settings, engine.modulator
    begun_ms = time.time_ns() // 1_000_000
    turn = run_turn(engine, request, on_event=report_count, interrupts=interrupts)
    on_progress("reading the activations")
    prompt_ids = policy.tokenizer.render_chat([(message.role, message.content) for message in request.messages])
    generation, clock = turn.generation, turn.clock
    stops = policy.tokenizer.stop_ids
    shown_ids = [index for index in generation.completion.ids_T.tolist() if index not in stops]

    def chosen(given: Any, default: Any) -> Any:
        return default if given is None else given

    return observe_generation(
        generation,
        read_activations(policy, prompt_ids),
        request_id=f"obs-{uuid4().hex}",
        ts_ms=begun_ms,
        model=policy.name,
        device=str(policy.device),
        decode=Decode(
            temperature=chosen(request.temperature, settings.temperature),
            top_p=chosen(request.top_p, settings.top_p),
            top_k=chosen(request.top_k, settings.top_k),
            max_new_tokens=chosen(request.max_tokens, settings.max_tokens),
            seed=request.seed,
        ),
        timing=Timing(
            latency_s=clock.total,
            time_to_first_token_s=clock.first_token,
            think_s=clock.think,
            tokens_per_sec=clock.tokens_per_second,
        ),
        gates=ModulatorSummary(
            num_gated_modules=modulator.modules_on if modulator else 0,
            mean_gate_activity=modulator.activity() if modulator else 0.0,
        ),
        prompt=request.messages[-1].content,
        full_text=None if generation.reasoning is None else policy.tokenizer.decode(shown_ids),
    )


def _write_record(record: "Observation", prompt: str, *, as_json: bool, png: Path | None, jsonl_out: Path | None) -> None:
    """Write the record to the files, then to the terminal. The files come first, so a terminal error cannot lose them."""
    line = record.model_dump_json()
    try:
        if jsonl_out is not None:
            with jsonl_out.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
        if png is not None:
            from tina_azr.cli.observe.figure import draw_observation

            draw_observation(record, png)
    except OSError as error:
        raise ConfigError(f"{error.filename or png} cannot be written: {error.strerror or error}") from error
    if as_json:
        click.echo(line)
        return
    from rich.console import Console

    from tina_azr.cli.observe.panel import observation_panel

    Console(highlight=False, markup=False).print(observation_panel(record, prompt))
