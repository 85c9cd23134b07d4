"""Token ids a second that the tag scanner reads, beside numpy and a plain loop.

    python -m tina_azr.benchmarks.text [--ids N] [--rounds R] [--json]

Each round times one way after the other on the same ids; figures are medians over rounds. A batch of a million ids lies in the processor's
cache; one of 64 million is read from memory.
"""

import json
from collections.abc import Callable
from itertools import pairwise
from statistics import median
from time import perf_counter

import click
import numpy as np

from tina_azr.text.tags import Ids, count_think_tokens

OPEN, CLOSE = 151667, 151668
ROW = 4_096
"""Ids of a row; each has one closing tag, half way."""
LOOP_IDS = 200_000
"""The plain loop reads so many: its speed does not depend on it."""


def batch(ids: int, dtype: type) -> tuple[Ids, Ids]:
    """Random ids below the tags, and the offsets of their rows."""
    rows = max(1, ids // ROW)
    flat: Ids = np.random.default_rng(0).integers(0, OPEN, rows * ROW).astype(dtype)
    flat[ROW // 2 :: ROW] = CLOSE
    return flat, np.arange(rows + 1, dtype=np.int64) * ROW


def by_numpy(flat: Ids, offsets: Ids) -> list[int]:
    """Without opening tags: what is before the first closing tag of each row."""
    closed = (flat == CLOSE).nonzero()[0]
    return [int(ends) for ends in closed[np.searchsorted(closed, offsets[:-1])] - offsets[:-1]]


def by_loop(flat: Ids, offsets: Ids) -> list[int]:
    """One id at a time."""
    counts = []
    for start, stop in pairwise(offsets):
        inside, count = True, 0
        for token in flat[start:stop].tolist():
            if inside and token == CLOSE:
                inside = False
            elif inside:
                count += 1
            elif token == OPEN:
                inside = True
        counts.append(count)
    return counts


def by_scanner(flat: Ids, offsets: Ids) -> list[int]:
    """In Rust."""
    return count_think_tokens(flat, OPEN, CLOSE, offsets=offsets)


def measure(ids: int, dtype: type, rounds: int) -> dict[str, float]:
    """Ids a second of each way. Raises AssertionError where they disagree."""
    flat, offsets = batch(ids, dtype)
    short = batch(min(ids, LOOP_IDS), dtype)
    ways: dict[str, tuple[Callable[[Ids, Ids], list[int]], tuple[Ids, Ids]]] = {
        "scanner": (by_scanner, (flat, offsets)),
        "numpy": (by_numpy, (flat, offsets)),
        "loop": (by_loop, short),
    }
    speeds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, (count, given) in ways.items():
            start = perf_counter()
            counts = count(*given)
            speeds[name].append(len(given[0]) / (perf_counter() - start))
            if set(counts) != {ROW // 2}:
                raise AssertionError(f"{name} counted {sorted(set(counts))}, not {ROW // 2}")
    return {name: median(of) for name, of in speeds.items()}


@click.command()
@click.option(
    "--ids", type=click.IntRange(min=ROW), multiple=True, default=(1 << 20, 1 << 26), show_default=True, help="Ids of a batch."
)
@click.option("--rounds", type=click.IntRange(min=1), default=7, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def main(ids: tuple[int, ...], rounds: int, as_json: bool) -> None:
    """Time the tag scanner beside numpy and a plain loop, on one core."""
    for count in ids:
        for dtype in (np.int32, np.int64):
            speeds = measure(count, dtype, rounds)
            if as_json:
                click.echo(
                    json.dumps({"ids": count, "dtype": dtype.__name__, **{name: round(speed) for name, speed in speeds.items()}})
                )
                continue
            shown = ", ".join(f"{name} {speed / 1e9:.3f}" for name, speed in speeds.items())
            click.echo(
                f"{count:,} {dtype.__name__} ids, billions a second: {shown}; scanner / numpy {speeds['scanner'] / speeds['numpy']:.2f}"
            )


if __name__ == "__main__":
    main()
