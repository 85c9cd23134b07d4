"""The frozen evaluation sets of the embedded model, and the seed programs of its self-play.

Two disjoint sets over strata of 1 to 6 steps and three modes: one to choose recipes and checkpoints by, one to report. Their keys are
excluded from every training example and every proposal.
"""

import json
from collections.abc import Set as AbstractSet
from pathlib import Path
from random import Random

from tina_azr.sandbox import Sandbox
from tina_azr.tasks.codec import heldout_to_json
from tina_azr.tasks.types import HeldoutTask
from tina_azr.tiny.examples import PAIRS, draw_worked, vague

STRATA = (1, 2, 3, 4, 5, 6)
PER_CELL = 96
SETS = {"choose": 20_001, "report": 20_002}
"""Seed of each set."""
SEED_PROGRAMS = 64


def draw_heldout(seed: int, sandbox: Sandbox, modes: tuple[str, ...], excluded: AbstractSet[str]) -> list[HeldoutTask]:
    """`PER_CELL` distinct tasks for every stratum and mode, none of them in `excluded`."""
    random = Random(seed)
    seen = set(excluded)
    tasks = []
    for stratum in STRATA:
        for mode in modes:
            cell: list[HeldoutTask] = []
            while len(cell) < PER_CELL:
                for worked in draw_worked(random, sandbox, (stratum,), [PAIRS] * PER_CELL):
                    if worked is None or worked.key(mode) in seen or len(cell) == PER_CELL:
                        continue
                    seen.add(worked.key(mode))
                    message = vague(random, worked.program) if mode == "induction" else ""
                    cell.append(HeldoutTask(task=worked.task(mode, message), stratum=stratum))
            tasks += cell
    return tasks


def draw_seeds(sandbox: Sandbox) -> list[dict[str, str]]:
    """Programs of one or two steps with one call each: the first references of self-play."""
    random = Random(SEED_PROGRAMS)
    seeds: dict[str, dict[str, str]] = {}
    while len(seeds) < SEED_PROGRAMS:
        for worked in draw_worked(random, sandbox, (1, 2), [1] * SEED_PROGRAMS):
            if worked is not None and len(seeds) < SEED_PROGRAMS:
                program = worked.program.source
                seeds[program] = {"program": program, "input": worked.inputs[0], "output": worked.traces[0].output}
    return list(seeds.values())


def write_seeds(path: Path, seeds: list[dict[str, str]]) -> None:
    """One JSON object a line."""
    path.write_text("".join(json.dumps(seed) + "\n" for seed in seeds))


def write_heldout(path: Path, tasks: list[HeldoutTask]) -> None:
    """One task a line, as `tasks.heldout.load_heldout` reads it."""
    path.write_text("".join(json.dumps(heldout_to_json(task)) + "\n" for task in tasks))
