"""Speed of the tag scanner compared with numpy and Python loops.

    python -m tina_azr.benchmarks.text [--ids N] [--completions N] [--rounds R] [--json]

The first part reads one large batch: a million ids fit the processor's cache, 64 million are read from memory. The second part reads
completions of realistic lengths one by one, as the product does: it counts think tokens, and splits reasoning from answer. Each round
times one way after the other on the same ids. Figures are medians over rounds, and ranges go from the first to the third quartile.
"""

import json
from collections.abc import Callable, Sequence
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from statistics import median
from time import perf_counter

import click
import numpy as np
from numpy.typing import NDArray

from tina_azr.text.chat import ChatTokenizer, ReasoningAndAnswer
from tina_azr.text.tags import Ids, count_think_tokens, reasoning_length

OPEN, CLOSE = 151667, 151668
ROW = 4_096
"""Ids of a row. Each row has one closing tag, in its middle."""
LOOP_IDS = 200_000
"""Ids that the plain loop reads. Its speed does not depend on their number."""
LENGTHS = {"embedded model": (40, 160), "large model": (2_000, 8_000)}
"""Shortest and longest completion, in tokens."""
ANSWER_SHARE = 0.2
"""Share of a completion that is its answer."""

Completions = Sequence[NDArray[np.int64]]


def batch(ids: int, dtype: type) -> tuple[Ids, Ids]:
    """Draw random ids below the tags; return them with the offsets of their rows."""
    rows = max(1, ids // ROW)
    flat: Ids = np.random.default_rng(0).integers(0, OPEN, rows * ROW).astype(dtype)
    flat[ROW // 2 :: ROW] = CLOSE
    return flat, np.arange(rows + 1, dtype=np.int64) * ROW


def by_numpy(flat: Ids, offsets: Ids) -> list[int]:
    """Count the ids before the first closing tag of each row. Opening tags are not looked for."""
    closed = (flat == CLOSE).nonzero()[0]
    return [int(ends) for ends in closed[np.searchsorted(closed, offsets[:-1])] - offsets[:-1]]


def by_loop(flat: Ids, offsets: Ids) -> list[int]:
    """Count in Python, one id at a time."""
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
    """Count in Rust."""
    return count_think_tokens(flat, OPEN, CLOSE, offsets=offsets)


def measure(ids: int, dtype: type, rounds: int) -> dict[str, float]:
    """Return the ids a second of each way. Raises AssertionError if they disagree."""
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


def ragged(tokenizer: ChatTokenizer, completions: int, shortest: int, longest: int) -> Completions:
    """Draw completions of random lengths and random ids, each with one closing tag and a stop id at its end."""
    draw = np.random.default_rng(0)
    tags = (tokenizer.think_open_id, tokenizer.think_close_id, *tokenizer.stop_ids)
    plain = np.setdiff1d(np.arange(tokenizer.vocabulary_size), tags)
    made = []
    for length in draw.integers(shortest, longest, completions, endpoint=True).tolist():
        ids_T = draw.choice(plain, length)
        ids_T[int(length * (1 - ANSWER_SHARE))] = tokenizer.think_close_id
        ids_T[-1] = tokenizer.stop_ids[0]
        made.append(ids_T)
    return made


def count_by_numpy(ids_T: NDArray[np.int64], close_id: int) -> int:
    """Count think tokens as the decode engine of 0.1 did."""
    closes = np.flatnonzero(ids_T == close_id)
    return int(closes[0]) if len(closes) else len(ids_T)


def split_by_list(tokenizer: ChatTokenizer, ids_T: NDArray[np.int64]) -> ReasoningAndAnswer:
    """Split a completion with a closing tag as `ChatTokenizer.split` of 0.1 did."""
    kept = ids_T.tolist()
    while kept and kept[-1] in tokenizer.stop_ids:
        kept.pop()
    if tokenizer.think_close_id not in kept:
        return ReasoningAndAnswer(reasoning=tokenizer.decode(kept), answer=None)
    close = len(kept) - 1 - kept[::-1].index(tokenizer.think_close_id)
    return ReasoningAndAnswer(
        reasoning=tokenizer.decode(kept[:close]).strip("\n"), answer=tokenizer.decode(kept[close + 1 :]).strip("\n")
    )


def compare_completions(tokenizer: ChatTokenizer, rows: Completions, rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Return seconds a completion of the former way and of the scanner, by operation, for each round.

    Splitting includes decoding the text. Raises AssertionError if two ways disagree.
    """
    close_id = tokenizer.think_close_id
    operations: dict[str, tuple[Callable[[], Sequence[object]], Callable[[], Sequence[object]]]] = {
        "count": (
            lambda: [count_by_numpy(ids_T, close_id) for ids_T in rows],
            lambda: [reasoning_length(ids_T, close_id) for ids_T in rows],
        ),
        "split": (lambda: [split_by_list(tokenizer, ids_T) for ids_T in rows], lambda: [tokenizer.split(ids_T) for ids_T in rows]),
    }
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in operations}
    for _ in range(rounds):
        for name, (former, scanner) in operations.items():
            start = perf_counter()
            expected = former()
            middle = perf_counter()
            found = scanner()
            seconds[name].append(((middle - start) / len(rows), (perf_counter() - middle) / len(rows)))
            if found != expected:
                raise AssertionError(f"{name}: the scanner and the former way disagree")
    return seconds


@click.command()
@click.option(
    "--ids", type=click.IntRange(min=ROW), multiple=True, default=(1 << 20, 1 << 26), show_default=True, help="Ids of a batch."
)
@click.option(
    "--completions", type=click.IntRange(min=1), default=512, show_default=True, help="Completions that are read one by one."
)
@click.option("--rounds", type=click.IntRange(min=1), default=7, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def main(ids: tuple[int, ...], completions: int, rounds: int, as_json: bool) -> None:
    """Time the tag scanner, numpy and Python loops, on one core."""
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
    tokenizer = ChatTokenizer.from_folder(Path(str(files("tina_azr") / "assets" / "tiny")))
    for name, (shortest, longest) in LENGTHS.items():
        seconds = compare_completions(tokenizer, ragged(tokenizer, completions, shortest, longest), rounds)
        for operation, pairs in seconds.items():
            former, scanner = (median(column) * 1e6 for column in zip(*pairs, strict=True))
            low, ratio, high = np.percentile([before / after for before, after in pairs], (25, 50, 75)).tolist()
            if as_json:
                figures = {"former_us": round(former, 3), "scanner_us": round(scanner, 3), "ratio": round(ratio, 3)}
                click.echo(json.dumps({"operation": operation, "tokens": [shortest, longest], **figures}))
                continue
            click.echo(
                f"{operation}, {shortest:,} to {longest:,} tokens ({name}): {former:.2f} us a completion before, {scanner:.2f} us with "
                f"the scanner; {ratio:.2f} times as fast ({low:.2f} to {high:.2f})"
            )


if __name__ == "__main__":
    main()
