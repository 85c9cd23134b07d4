"""`tina-azr serve`: the command that starts the server of `tina_azr.serve`."""

import contextlib
import logging
import os
import signal
import warnings
from datetime import datetime
from pathlib import Path

import click

from tina_azr.cli.model_options import config_options
from tina_azr.config import Flag, load_config

EPILOG = """\b
Examples:
  tina-azr serve                                  the embedded model, as a demonstration
  tina-azr serve --model runs/first               the newest checkpoint of a run
  tina-azr serve --model Qwen/Qwen3-4B-Thinking-2507 --set model.dtype=bfloat16
  TINA_AZR_API_KEY=... tina-azr serve --host 0.0.0.0

\b
The page is at the URL that is printed, the API below it at /v1. The base URL for OpenAI's clients is URL/v1; any key works
if none is set. Every option is also a setting: see `serve` in `tina-azr config show --comments`.
Ctrl-C refuses new requests, lets running ones finish for serve.grace_seconds, and ends. A second Ctrl-C ends at once.
Exit status: 0 stopped, 2 wrong configuration or flag, 1 anything else.
"""


@click.command(epilog=EPILOG)
@click.option(
    "--model", metavar="NAME", help="As chat takes it: `tiny`, a folder, a run or a hub name; the same as --set model.name=NAME."
)
@config_options
@click.option("--host", metavar="ADDRESS", help="Address to listen on; needs a key if other machines can reach it. As serve.host.")
@click.option("--port", type=int, metavar="N", help="Port; 0: any free one. As serve.port.")
@click.option(
    "--allow-host",
    "hosts",
    multiple=True,
    metavar="NAME[:PORT]",
    help="Also accept this Host header: another name, a tunnel, a proxy.",
)
@click.option(
    "--allow-visible-reasoning",
    "--allow-visible-thoughts",
    is_flag=True,
    help="Return the text of the reasoning to requests that ask for it (formerly --allow-visible-thoughts).",
)
@click.option("--abstain-below", type=float, metavar="P", help="Mark answers of lower confidence. As serve.abstain_below.")
@click.option(
    "--skip-below", type=float, metavar="P", help="No reasoning if the confidence before it is lower. As introspection.skip_below."
)
@click.option("--api-key-file", type=click.Path(path_type=Path), metavar="FILE", help="Key that clients must send.")
@click.option("--quiet", is_flag=True, help="Do not log a line for each completion.")
def serve(
    model: str | None,
    preset: str | None,
    config_file: Path | None,
    overrides: tuple[str, ...],
    host: str | None,
    port: int | None,
    hosts: tuple[str, ...],
    allow_visible_reasoning: bool,
    abstain_below: float | None,
    skip_below: float | None,
    api_key_file: Path | None,
    quiet: bool,
) -> None:
    """Serve a model: a page in the browser and an OpenAI-compatible API. Without --model it serves the embedded one.

    Before reasoning, the model forecasts how many think tokens it will take and how likely its answer is correct. Both are shown, and the
    think limit is enforced. Only this machine can reach the server, unless --host is given. A key comes from TINA_AZR_API_KEY or a file.
    """
    flags = (
        Flag("--model", "model.name", model),
        Flag("--host", "serve.host", host),
        Flag("--port", "serve.port", port),
        Flag("--allow-host", "serve.hosts", list(hosts) or None),
        Flag("--allow-visible-reasoning", "serve.allow_visible_reasoning", allow_visible_reasoning or None),
        Flag("--abstain-below", "serve.abstain_below", abstain_below),
        Flag("--skip-below", "introspection.skip_below", skip_below),
    )
    config = load_config(config_file, (*overrides, *(flag for flag in flags if flag.value is not None)), preset=preset)

    from tina_azr.cli.console import loading
    from tina_azr.serve.access.api_key import find_key
    from tina_azr.serve.server import Server, check_exposure, hint_of, listen, port_of, url_of

    key = find_key(api_key_file)
    check_exposure(config.serve, key)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("tina_azr.serve").setLevel(logging.WARNING if quiet else logging.INFO)
    with listen(config.serve) as listener:
        with loading(config.model.name), warnings.catch_warnings():
            from tina_azr.engine.engine import IntrospectionWarning
            from tina_azr.sandbox.opening import open_sandbox
            from tina_azr.serve.app import build_app
            from tina_azr.serve.loading import describe, open_for_serving

            warnings.simplefilter("ignore", IntrospectionWarning)  # printed below, with the note
            engine = open_for_serving(config)
            # One program at a time, because the model needs most cores.
            checker = open_sandbox(config.sandbox, workers=1)
        served = describe(engine, config.model.name, datetime.now())
        port = port_of(listener)
        app = build_app(engine, model=served, settings=config.serve, key=key, checker=checker, port=port)
        url, hint = url_of(config.serve, port), hint_of(config.serve, port)
        # Both signals end the server in the same way. uvicorn raises them again after its shutdown.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with contextlib.suppress(KeyboardInterrupt):
            Server(
                app, listener, config.serve, lambda: _announce(url, hint, served.note, key_required=key is not None)
            ).run_until_stopped()
        click.echo("Stopped.")
        # Everything is done, and a normal exit of an interpreter with torch takes seconds.
        os._exit(0)


def _announce(url: str, hint: str | None, note: str, *, key_required: bool) -> None:
    click.echo(note)
    if hint is not None:
        click.echo(hint)
    click.echo(f"Serving at {url} (API: {url}/v1{', key required' if key_required else ''}). Ctrl-C to stop.")
