"""Load test: 200 concurrent streams with random disconnects. The others are complete, nothing leaks, no reasoning is shown."""

import asyncio
import json
import random
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from scripted_chat import SENTINEL
from scripted_server import PATIENCE

STREAMS = 200
ROUNDS = 4
SCRIPT = Path(__file__).parents[1] / "scripted_chat.py"
MIB = 1 << 20


@pytest.fixture
def scripted() -> Iterator[tuple[str, int]]:
    """Start a server in its own process; return its URL and process id."""
    command = [sys.executable, str(SCRIPT), "--port", "0", "--seconds-per-step", "0.001"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = re.search(r"http://\S+", process.stdout.readline())
        assert found
        yield found[0], process.pid
        process.terminate()


def memory(pid: int) -> int:
    """Return the resident bytes."""
    fields = Path(f"/proc/{pid}/status").read_text()
    return int(re.findall(r"VmRSS:\s+(\d+) kB", fields)[0]) * 1024


async def stream(url: httpx.URL, number: int, leave_after: int | None) -> str | None:
    """Read one stream to its end, or drop it after a number of bytes and return None."""
    body = json.dumps({"messages": [{"role": "user", "content": f"request {number}"}], "seed": number, "stream": True}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {url.host}:{url.port}\r\nContent-Type: application/json\r\nConnection: close\r\n"
    reader, writer = await asyncio.open_connection(url.host, url.port)
    try:
        writer.write(head.encode() + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        if leave_after is not None:
            await reader.read(leave_after)
            return None
        return (await reader.read()).decode()
    finally:
        writer.close()


async def one_round(url: httpx.URL, chance: random.Random) -> list[tuple[int, str]]:
    """Run all streams at once; return those that stayed, with their number."""
    leaving = {number: chance.choice([None, None, 1, 300, 2_000]) for number in range(STREAMS)}
    texts = await asyncio.gather(*(stream(url, number, leave_after) for number, leave_after in leaving.items()))
    return [(number, text) for number, text in enumerate(texts) if text is not None]


@pytest.mark.timeout(300)
def test_two_hundred_streams_with_random_disconnects(scripted: tuple[str, int]) -> None:
    address, pid = scripted
    url, chance = httpx.URL(address), random.Random(0)
    sizes = []
    for _ in range(ROUNDS):
        stayed = asyncio.run(one_round(url, chance))
        assert len(stayed) > STREAMS / 4
        for number, text in stayed:
            chunks = [json.loads(line.removeprefix("data: ")) for line in re.findall(r"^data: \{.*\}$", text, re.MULTILINE)]
            answer = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)
            assert text.count("data: [DONE]") == 1
            assert f"seed {number}, choice 0." in answer
            assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
            assert SENTINEL not in text
        assert in_flight(address) == 0
        sizes.append(memory(pid))
    assert sizes[-1] - sizes[0] < 12 * MIB, sizes


def in_flight(address: str) -> float:
    """Return the completions in flight, after the server had time to notice disconnects."""
    deadline = time.monotonic() + PATIENCE
    while True:
        metrics = httpx.get(f"{address}/metrics", timeout=PATIENCE).text
        (value,) = re.findall(r"^tina_completions_in_flight (\S+)$", metrics, re.MULTILINE)
        if float(value) == 0 or time.monotonic() > deadline:
            return float(value)
        time.sleep(0.02)
