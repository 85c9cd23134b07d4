"""The whole recipe, from nothing to two model folders: held-out sets, vocabulary, warm start, mixed stage, evaluation, model card.

Every stage leaves files and is skipped when they are there, so an interrupted build goes on where it stopped.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from tina_azr.sandbox import Sandbox
from tina_azr.tasks.heldout import load_heldout
from tina_azr.tasks.modes import MODES
from tina_azr.tasks.types import HeldoutTask
from tina_azr.tiny.examples import example_chunk
from tina_azr.tiny.export import export_model
from tina_azr.tiny.heldout import SEED_PROGRAMS, SETS, draw_heldout, draw_seeds, write_heldout, write_seeds
from tina_azr.tiny.recipe import Recipe
from tina_azr.tiny.tracing import TRACING_LIMITS
from tina_azr.tiny.vocabulary import render_prompt, save_vocabulary, train_vocabulary
from tina_azr.tiny.warmstart import StageFiles, describe, run_stage

VOCABULARY_SEED = 99
VOCABULARY_CHUNKS = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildFolders:
    """Where a build works and where its results go."""

    work: Path
    """States and logs of the stages: delete it to start again."""
    out: Path
    """Holds `tiny/` and `tiny-warm/` at the end."""

    @property
    def vocabulary(self) -> Path:
        return self.work / "vocabulary"

    @property
    def keys(self) -> Path:
        return self.work / "heldout_keys.json"

    def stage(self, name: str) -> StageFiles:
        """Files of the stage `warm` or `mixed`."""
        start = self.stage("warm").weights if name == "mixed" else None
        return StageFiles(tokenizer=self.vocabulary / "tokenizer.json", held_out=self.keys, start=start, work=self.work / name)


def build(recipe: Recipe, folders: BuildFolders, note: Callable[[str], None]) -> None:
    """Run every stage that has not been run yet. `note` gets one line a stage."""
    folders.work.mkdir(parents=True, exist_ok=True)
    tiny = folders.out / "tiny"
    tiny.mkdir(parents=True, exist_ok=True)
    with Sandbox(limits=TRACING_LIMITS) as sandbox:
        if not folders.keys.exists():
            note(f"drawing the held-out sets and {SEED_PROGRAMS} seed programs")
            _freeze_tasks(sandbox, tiny, folders.keys)
        if not (folders.vocabulary / "tokenizer.json").exists():
            note("training the vocabulary")
            held_out = frozenset(json.loads(folders.keys.read_text()))
            chunks = (example_chunk(VOCABULARY_SEED, chunk, sandbox, recipe.steps, held_out) for chunk in range(VOCABULARY_CHUNKS))
            texts = [f"{render_prompt(e.prompt)}{e.completion}<|im_end|>" for chunk in chunks for e in chunk]
            save_vocabulary(train_vocabulary(texts), folders.vocabulary)
    for name, stage in (("warm", recipe.warm), ("mixed", recipe.mixed)):
        files = folders.stage(name)
        note(f"stage {name}: {stage.tokens / 1e6:.2f} M tokens; log in {files.log}")
        run_stage(recipe, stage, files)
        folder = folders.out / {"warm": "tiny-warm", "mixed": "tiny"}[name]
        export_model(files.weights, folders.vocabulary / "tokenizer.json", folder, name=folder.name)
        shutil.copyfile(files.log, folder / "training_log.jsonl")
    (tiny / "recipe.json").write_text(describe(recipe) + "\n")


def scaled(recipe: Recipe, *, tokens: int | None, workers: int | None) -> Recipe:
    """The recipe with another length of the warm start or another number of processes."""
    warm = recipe.warm if tokens is None else replace(recipe.warm, tokens=tokens)
    return replace(recipe, warm=warm, workers=workers or recipe.workers)


def _freeze_tasks(sandbox: Sandbox, folder: Path, keys: Path) -> None:
    seen: set[str] = set()
    for name, seed in SETS.items():
        tasks: list[HeldoutTask] = draw_heldout(seed, sandbox, tuple(MODES), seen)
        seen.update(one.task.key for one in tasks)
        write_heldout(folder / f"heldout_{name}.jsonl", tasks)
        assert {one.task.key for one in load_heldout(folder / f"heldout_{name}.jsonl")} <= seen
    write_seeds(folder / "seeds.jsonl", draw_seeds(sandbox))
    keys.write_text(json.dumps(sorted(seen)))
