"""Tokenizer and chat template of a model folder, read with `tokenizers` and jinja2 only.

Qwen3-Thinking's template writes `<think>\\n` into the prompt, so a completion starts inside the reasoning and has only `</think>`.
Tags are recognised by token id: text that quotes a tag is not a tag. Nothing is ever added to a vocabulary.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer, decoders

from tina_azr.errors import ModelError
from tina_azr.text.streaming import StreamDecoder, token_bytes
from tina_azr.text.tags import Ids, last_close

THINK_OPEN, THINK_CLOSE, TURN_END = "<think>", "</think>", "<|im_end|>"
ROLES = ("system", "user", "assistant")
_MARK = "\ue000"
"""A private-use letter of Unicode. A run of it that is longer than any in the messages marks where a quoted tag is cut."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasoningAndAnswer:
    """The two parts of a completion."""

    reasoning: str
    answer: str | None
    """Text after the last `</think>`, up to the stop id; None if there is no `</think>`."""


class ChatTokenizer:
    """Encoder of prompts, and decoder of completions into reasoning and answer."""

    def __init__(self, tokenizer: Tokenizer, template: str, stop_ids: Sequence[int], *, where: str) -> None:
        self._tokenizer = tokenizer
        self._where = where
        self.think_open_id = self._single(THINK_OPEN)
        self.think_close_id = self._single(THINK_CLOSE)
        self.stop_ids: tuple[int, ...] = tuple(dict.fromkeys((self._single(TURN_END), *stop_ids)))
        pad = tokenizer.token_to_id("<|endoftext|>")
        self.pad_id: int = self.stop_ids[0] if pad is None else pad
        self._added = [token.content for token in tokenizer.get_added_tokens_decoder().values()]
        self._tag_start = re.compile(f"(?=({'|'.join(map(re.escape, self._added))})).", re.DOTALL)
        self._bytes: dict[int, bytes] = {}
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
        """Number of tokens. The embedding of the model may be padded to more."""
        return self._tokenizer.get_vocab_size()

    def render(self, user: str) -> tuple[int, ...]:
        """Return the prompt ids of one user message, up to the opened `<think>`. A tag that the message quotes stays text."""
        return self.render_chat([("user", user)])

    def render_chat(self, messages: Sequence[tuple[str, str]]) -> tuple[int, ...]:
        """Return the prompt ids of a conversation of (role, content), up to the opened `<think>`.

        The text of an assistant's message up to its last `</think>` is reasoning, which the template strips from past turns. Every
        other tag that a message quotes stays text. Raises ModelError for a role that is not in `ROLES` and for an empty conversation.
        """
        if not messages:
            raise ModelError("a conversation needs at least one message")
        for number, (role, _) in enumerate(messages):
            if role not in ROLES:
                raise ModelError(f"message {number} has the role {role!r}: it has to be one of {', '.join(ROLES)}")
        if not any(tag in content for _, content in messages for tag in self._added):
            return tuple(self.encode(self._rendered(messages)))
        runs = (run for _, content in messages for run in re.findall(f"{_MARK}+", content))
        mark = _MARK * (1 + max(map(len, runs), default=0))
        rendered = self._rendered([(role, self._cut_tags(role, content, mark)) for role, content in messages])
        return tuple(index for piece in rendered.split(mark) for index in self.encode(piece))

    def _rendered(self, messages: Sequence[tuple[str, str]]) -> str:
        turns = [{"role": role, "content": content} for role, content in messages]
        try:
            return self._template.render(messages=turns, add_generation_prompt=True, tools=None)
        except TemplateError as error:
            raise ModelError(f"the chat template of {self._where} refuses this conversation: {error}") from error

    def _cut_tags(self, role: str, content: str, mark: str) -> str:
        """Return the content with `mark` inside every tag, except the tags of reasoning that the template has to strip."""
        if role == "assistant" and THINK_CLOSE in content:
            reasoning, _, answer = content.rpartition(THINK_CLOSE)
            opened = reasoning.lstrip().startswith(THINK_OPEN)
            inner = reasoning.lstrip().removeprefix(THINK_OPEN)
            return (THINK_OPEN if opened else "") + self._cut(inner, mark) + THINK_CLOSE + self._cut(answer, mark)
        return self._cut(content, mark)

    def _cut(self, text: str, mark: str) -> str:
        # A tag of one letter could not be cut inside; no Qwen has one.
        return self._tag_start.sub(lambda start: start[0] + mark, text)

    def stream_decoder(self) -> StreamDecoder:
        """Return a decoder for one stream of ids; tags stay in the text. Raises ModelError for a vocabulary that is not byte-level."""
        if not isinstance(self._tokenizer.decoder, decoders.ByteLevel):
            raise ModelError(
                f"the tokenizer of {self._where} is not byte-level: this is not a Qwen3 tokenizer, its text cannot be streamed"
            )
        return StreamDecoder(self._bytes_of)

    def _bytes_of(self, index: int) -> bytes:
        known = self._bytes.get(index)
        if known is None:
            token = self._tokenizer.id_to_token(index)
            known = self._bytes[index] = b"" if token is None else token_bytes(token)
        return known

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text. Tags in it become their single ids."""
        # A batch of one: unlike `encode`, it releases the interpreter lock.
        (encoded,) = self._tokenizer.encode_batch_fast([text], add_special_tokens=False)
        return list(encoded.ids)

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids, with tags."""
        return self._tokenizer.decode(list(ids), skip_special_tokens=False)

    def split(self, ids: Ids | Sequence[int]) -> ReasoningAndAnswer:
        """Return reasoning and answer of a completion, whose ids start inside the reasoning. An int64 array is read without a copy."""
        ids_T = np.ascontiguousarray(ids, dtype=np.int64)
        stop = len(ids_T)
        while stop and int(ids_T[stop - 1]) in self.stop_ids:
            stop -= 1
        close = last_close(ids_T[:stop], self.think_close_id)
        if close < 0:
            return ReasoningAndAnswer(reasoning=self.decode(ids_T[:stop].tolist()), answer=None)
        return ReasoningAndAnswer(
            reasoning=self.decode(ids_T[:close].tolist()).strip("\n"),
            answer=self.decode(ids_T[close + 1 : stop].tolist()).strip("\n"),
        )

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
                f"the chat template of {self._where} does not open the reasoning with {THINK_OPEN}: use that of a Qwen3-Thinking model"
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
