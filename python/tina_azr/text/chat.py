"""A model folder's tokenizer and chat template, read with `tokenizers` and jinja2 alone.

Qwen3-Thinking's template writes `<think>\\n` into the prompt, so a completion starts inside the thought and holds `</think>` alone.
Everything here goes by token id: text that merely quotes a tag is not a tag. Nothing is ever added to a vocabulary.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer

from tina_azr.errors import ModelError

THINK_OPEN, THINK_CLOSE, TURN_END = "<think>", "</think>", "<|im_end|>"


@dataclass(frozen=True, slots=True, kw_only=True)
class ThoughtAndAnswer:
    """A completion's two halves."""

    thought: str
    answer: str | None
    """What follows the last `</think>`, up to the stop id; None if the thought never closed."""


class ChatTokenizer:
    """Prompts to ids, completions to thoughts and answers."""

    def __init__(self, tokenizer: Tokenizer, template: str, stop_ids: Sequence[int], *, where: str) -> None:
        self._tokenizer = tokenizer
        self._where = where
        self.think_open_id = self._single(THINK_OPEN)
        self.think_close_id = self._single(THINK_CLOSE)
        self.stop_ids: tuple[int, ...] = tuple(dict.fromkeys((self._single(TURN_END), *stop_ids)))
        pad = tokenizer.token_to_id("<|endoftext|>")
        self.pad_id: int = self.stop_ids[0] if pad is None else pad
        self._added = [token.content for token in tokenizer.get_added_tokens_decoder().values()]
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        try:
            self._template = environment.from_string(template)
        except TemplateError as error:
            raise ModelError(f"the chat template of {where} cannot be read: {error}") from error
        self._check_template()

    @classmethod
    def from_folder(cls, folder: Path) -> "ChatTokenizer":
        """Read `tokenizer.json`, the chat template and the stop ids. Raises ModelError naming what is missing."""
        path = folder / "tokenizer.json"
        if not path.is_file():
            raise ModelError(f"{folder} has no tokenizer.json: give a folder with a model and its fast tokenizer")
        try:
            tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:
            raise ModelError(f"{path} cannot be read: {error}") from error
        stop_ids: list[int] = []
        for name in ("generation_config.json", "config.json"):
            ids = _json(folder / name).get("eos_token_id") or []
            stop_ids += ids if isinstance(ids, list) else [ids]
        return cls(tokenizer, _template(folder), stop_ids, where=str(folder))

    @property
    def vocabulary_size(self) -> int:
        """Tokens that exist; the model's embedding may be padded beyond."""
        return self._tokenizer.get_vocab_size()

    def render(self, user: str) -> tuple[int, ...]:
        """Prompt ids of one user message; they end inside the opened thought. A tag that the message quotes stays text."""
        rendered = self._template.render(messages=[{"role": "user", "content": user}], add_generation_prompt=True, tools=None)
        if not any(tag in user for tag in self._added):
            return tuple(self.encode(rendered))
        before, _, after = rendered.partition(user)
        return (*self.encode(before), *self._plain(user), *self.encode(after))

    def _plain(self, text: str) -> list[int]:
        """Ids of a text as the letters it is made of: cut inside every tag, so that no piece holds a whole one."""
        for tag in self._added:
            text = text.replace(tag, f"{tag[0]}\0{tag[1:]}")
        return [index for piece in text.split("\0") for index in self.encode(piece)]

    def encode(self, text: str) -> list[int]:
        """Ids of a text; tags in it become their single ids."""
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ids, tags left in."""
        return self._tokenizer.decode(list(ids), skip_special_tokens=False)

    def split(self, ids: Sequence[int]) -> ThoughtAndAnswer:
        """Thought and answer of a completion's ids, which start inside the thought."""
        kept = list(ids)
        while kept and kept[-1] in self.stop_ids:
            kept.pop()
        if self.think_close_id not in kept:
            return ThoughtAndAnswer(thought=self.decode(kept), answer=None)
        close = len(kept) - 1 - kept[::-1].index(self.think_close_id)
        return ThoughtAndAnswer(thought=self.decode(kept[:close]).strip("\n"), answer=self.decode(kept[close + 1 :]).strip("\n"))

    def _single(self, token: str) -> int:
        ids = self.encode(token)
        if len(ids) != 1:
            raise ModelError(
                f"{token} is {len(ids)} tokens in the tokenizer of {self._where}, it has to be one: this is not a Qwen3 tokenizer, "
                "and tokens are never added here"
            )
        return ids[0]

    def _check_template(self) -> None:
        if self.think_open_id not in self.render("probe"):
            raise ModelError(
                f"the chat template of {self._where} does not open a thought with {THINK_OPEN}: use a Qwen3-Thinking model's template"
            )


def _template(folder: Path) -> str:
    standalone = folder / "chat_template.jinja"
    if standalone.is_file():
        return standalone.read_text(encoding="utf-8")
    template = _json(folder / "tokenizer_config.json").get("chat_template")
    if not isinstance(template, str):
        raise ModelError(f"{folder} has no chat template (chat_template.jinja, or chat_template in tokenizer_config.json)")
    return template


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{path} is not JSON: {error}") from error
    return value if isinstance(value, dict) else {}
