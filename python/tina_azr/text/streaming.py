"""Incremental decoding of token ids to whole characters. Each byte is decoded once.

A character may be spread over several tokens. The results of `push` and `flush`, joined, equal the text of decoding all ids at once,
with the same replacement characters for bytes that are not UTF-8.
"""

import codecs
from collections.abc import Callable

_PRINTED = (*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100))
_OTHERS = [byte for byte in range(256) if byte not in _PRINTED]
_BYTE_OF = {chr(byte): byte for byte in _PRINTED} | {chr(0x100 + place): byte for place, byte in enumerate(_OTHERS)}
"""Letter of a byte-level vocabulary -> its byte (GPT-2's table, the same in every Qwen)."""


def token_bytes(token: str) -> bytes:
    """Return the bytes of one entry of a byte-level vocabulary. An added token stands for its own text."""
    try:
        return bytes(_BYTE_OF[letter] for letter in token)
    except KeyError:
        return token.encode()


class StreamDecoder:
    """Decoder of one stream of ids. `ChatTokenizer.stream_decoder` makes one."""

    def __init__(self, bytes_of: Callable[[int], bytes]) -> None:
        self._bytes_of = bytes_of
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, index: int) -> str:
        """Return the characters that this id completes; empty while a character is incomplete."""
        return self._utf8.decode(self._bytes_of(index))

    def flush(self) -> str:
        """End the stream: return a replacement character if a character is incomplete. The decoder can be used again."""
        rest = self._utf8.decode(b"", final=True)
        self._utf8.reset()
        return rest
