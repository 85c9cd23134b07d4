"""From examples to batches of ids: sorted by length inside a chunk, so that little is padding. Axes: `_B` rows, `_T` tokens."""

from collections.abc import Collection
from dataclasses import dataclass
from random import Random

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from tina_azr.sandbox import Sandbox
from tina_azr.tiny.examples import example_chunk
from tina_azr.tiny.recipe import Recipe, Stage
from tina_azr.tiny.vocabulary import SPECIAL_TOKENS, render_prompt

PAD_ID = SPECIAL_TOKENS.index("<|endoftext|>")


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Right-padded rows."""

    ids_BT: NDArray[np.int64]
    weights_BT: NDArray[np.float32]
    """Loss weight of each id as a target; 0 on padding."""

    @property
    def tokens(self) -> int:
        return int((self.weights_BT > 0).sum())


@dataclass(slots=True)
class BatchStream:
    """One worker's endless stream. `chunk` and `index` are its whole state: chunk `c` of a worker is always the same."""

    tokenizer: Tokenizer
    sandbox: Sandbox
    recipe: Recipe
    stage: Stage
    held_out: Collection[str]
    worker: int
    chunk: int = 0
    index: int = 0
    _batches: list[Batch] | None = None

    def next(self) -> Batch:
        """The next batch."""
        if self._batches is None or self.index == len(self._batches):
            if self._batches is not None:
                self.chunk, self.index = self.chunk + 1, 0
            self._batches = self._build(self.chunk)
        self.index += 1
        return self._batches[self.index - 1]

    def _build(self, chunk: int) -> list[Batch]:
        number = chunk * self.recipe.workers + self.worker
        examples = example_chunk(
            self.stage.seed, number, self.sandbox, self.recipe.steps, self.held_out, skip_share=self.stage.skip_share
        )
        prompts = self.tokenizer.encode_batch([render_prompt(example.prompt) for example in examples])
        completions = self.tokenizer.encode_batch([f"{example.completion}<|im_end|>" for example in examples])
        rows = [(len(p.ids), p.ids + c.ids) for p, c in zip(prompts, completions, strict=True)]
        rows = sorted((row for row in rows if len(row[1]) <= self.recipe.max_tokens), key=lambda row: len(row[1]))
        groups: list[list[tuple[int, list[int]]]] = [[]]
        for row in rows:
            if groups[-1] and len(row[1]) * (len(groups[-1]) + 1) > self.recipe.batch_tokens:
                groups.append([])
            groups[-1].append(row)
        Random(number).shuffle(groups)
        return [self._pad(group) for group in groups]

    def _pad(self, group: list[tuple[int, list[int]]]) -> Batch:
        width = max(len(ids) for _, ids in group)
        ids_BT = np.full((len(group), width), PAD_ID, dtype=np.int64)
        weights_BT = np.zeros((len(group), width), dtype=np.float32)
        for row, (prompt, ids) in enumerate(group):
            ids_BT[row, : len(ids)] = ids
            weights_BT[row, :prompt] = self.recipe.prompt_weight
            weights_BT[row, prompt : len(ids)] = 1.0
        return Batch(ids_BT=ids_BT, weights_BT=weights_BT)
