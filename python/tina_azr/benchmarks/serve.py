"""`python -m tina_azr.benchmarks.serve`: throughput of concurrent streams against the same requests one by one, and time to first token.

Everything is measured in one run, in rounds that take turns, so that what else the machine does falls on all of them alike. Without
--url a server with the embedded model is started for it; any OpenAI-compatible server can be named.
"""

import argparse
import asyncio
import json
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

PROMPT = "Solve.\n```python\ndef f(a):\n    a = a + {number}\n    a = a * 2\n    return a\n```\n```input\n{number}\n```"
SERVER = [sys.executable, "-m", "tina_azr", "serve", "--port", "0", "--quiet"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """One request, read to its end."""

    seconds: float
    first_token: float
    """Seconds until the first chunk that tells of a token."""
    tokens: int
    """Of the completion, reasoning included, as the server counts them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """The same requests, so many at a time."""

    at_once: int
    seconds: float
    streams: tuple[Stream, ...]

    @property
    def tokens_per_second(self) -> float:
        """Of all streams together."""
        return sum(stream.tokens for stream in self.streams) / self.seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is asked."""

    url: str
    model: str
    requests: int
    max_tokens: int
    path: str = "/v1/chat/completions"


async def ask(load: Load, number: int) -> Stream:
    """One streamed request. Greedy, and of a fixed seed: the same tokens each time."""
    target = urlsplit(load.url)
    body = json.dumps(
        {
            "model": load.model,
            "messages": [{"role": "user", "content": PROMPT.format(number=number)}],
            "max_tokens": load.max_tokens,
            "temperature": 0,
            "seed": number,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
    ).encode()
    head = f"POST {load.path} HTTP/1.1\r\nHost: {target.netloc}\r\nContent-Type: application/json\r\nConnection: close\r\n"
    started = time.perf_counter()
    reader, writer = await asyncio.open_connection(target.hostname, target.port)
    writer.write(head.encode() + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
    first, tokens, lines = None, 0, 0
    async for line in reader:
        if not line.startswith(b"data: {"):
            continue
        chunk = json.loads(line.removeprefix(b"data: "))
        if "error" in chunk:
            raise SystemExit(f"the server said: {chunk['error']}")
        lines += 1
        # The first chunk has only a role, in every server.
        if first is None and lines > 1:
            first = time.perf_counter()
        tokens = (chunk.get("usage") or {}).get("completion_tokens", tokens)
    writer.close()
    ended = time.perf_counter()
    if first is None or not tokens:
        raise SystemExit(
            "the server answered without tokens: is it OpenAI-compatible, and does it know stream_options.include_usage?"
        )
    return Stream(seconds=ended - started, first_token=first - started, tokens=tokens)


async def run(load: Load, at_once: int) -> Round:
    """All requests, `at_once` of them in flight."""
    places = asyncio.Semaphore(at_once)

    async def one(number: int) -> Stream:
        async with places:
            return await ask(load, number)

    started = time.perf_counter()
    streams = await asyncio.gather(*(one(number) for number in range(load.requests)))
    return Round(at_once=at_once, seconds=time.perf_counter() - started, streams=tuple(streams))


def measure(load: Load, counts: Sequence[int], rounds: int) -> dict[int, list[Round]]:
    """Rounds by how many streams there were at once, taken in turn; one round of each before counts for nothing."""
    results: dict[int, list[Round]] = {count: [] for count in counts}
    for turn in range(rounds + 1):
        for count in counts:
            result = asyncio.run(run(load, count))
            if turn:
                results[count].append(result)
    return results


def report(results: dict[int, list[Round]]) -> list[dict[str, float]]:
    """Medians over rounds; `ratio` compares each count with the first in the same turn."""
    base = next(iter(results.values()))
    rows = []
    for count, rounds in results.items():
        firsts = [stream.first_token for one in rounds for stream in one.streams]
        ratios = [one.tokens_per_second / own.tokens_per_second for one, own in zip(rounds, base, strict=True)]
        rows.append(
            {
                "streams": count,
                "tokens_per_second": round(statistics.median(one.tokens_per_second for one in rounds), 1),
                "ratio": round(statistics.median(ratios), 2),
                "first_token_ms_p50": round(1e3 * statistics.median(firsts), 1),
                "first_token_ms_p95": round(1e3 * _p95(firsts), 1),
                "tokens": statistics.median(sum(stream.tokens for stream in one.streams) for one in rounds),
            }
        )
    return rows


def _p95(values: Sequence[float]) -> float:
    return sorted(values)[min(round(0.95 * len(values)), len(values) - 1)]


@contextmanager
def _own_server() -> Iterator[str]:
    with subprocess.Popen(SERVER, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if found := re.search(r"Serving at (\S+) ", line):
                yield found[1]
                break
        process.terminate()


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tina_azr.benchmarks.serve", description=__doc__)
    parser.add_argument("--url", help="a server that runs already; without it one is started")
    parser.add_argument("--model", default="tiny", help="model to ask for")
    parser.add_argument(
        "--streams", type=int, nargs="+", default=[1, 8, 32], help="streams at once; the first is what others compare with"
    )
    parser.add_argument("--requests", type=int, default=64, help="requests of a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--max-tokens", type=int, default=200)
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args()

    def go(url: str) -> None:
        load = Load(url=url, model=given.model, requests=given.requests, max_tokens=given.max_tokens)
        rows = report(measure(load, given.streams, given.rounds))
        if given.json:
            print(json.dumps(rows))
            return
        print(f"{'streams':>7} {'tokens/s':>9} {'ratio':>6} {'first token p50':>16} {'p95':>9}")
        for row in rows:
            print(
                f"{row['streams']:7} {row['tokens_per_second']:9,.0f} {row['ratio']:6.2f} {row['first_token_ms_p50']:13,.1f} ms "
                f"{row['first_token_ms_p95']:6,.1f} ms"
            )

    if given.url:
        go(given.url)
    else:
        with _own_server() as url:
            go(url)


if __name__ == "__main__":
    main()
