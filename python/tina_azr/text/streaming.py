"""Text of token ids as they come: whole characters only, each byte decoded once.

A character may be spread over several tokens. What is pushed so far and what `flush` returns, joined, is what decoding all ids at once
gives, replacement characters for bytes that are no UTF-8 included.
"""

import codecs
from collections.abc import Callable

_PRINTED = (*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100))
_OTHERS = [byte for byte in range(256) if byte not in _PRINTED]
_BYTE_OF = {chr(byte): byte for byte in _PRINTED} | {chr(0x100 + place): byte for place, byte in enumerate(_OTHERS)}
"""Letter of a byte-level vocabulary -> the byte it stands for (GPT-2's table, the same in every Qwen)."""


def token_bytes(token: str) -> bytes:
    """The bytes of one entry of a byte-level vocabulary; an added token is its own text."""
    try:
        return bytes(_BYTE_OF[letter] for letter in token)
    except KeyError:
        return token.encode()


class StreamDecoder:
    """Decodes one stream of ids. `ChatTokenizer.stream_decoder` makes them."""

    def __init__(self, bytes_of: Callable[[int], bytes]) -> None:
        self._bytes_of = bytes_of
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, index: int) -> str:
        """The characters that this id completes; empty while one is incomplete."""
        return self._utf8.decode(self._bytes_of(index))

    def flush(self) -> str:
        """The stream ends here: a replacement character if one was begun. The decoder can be used again."""
        rest = self._utf8.decode(b"", final=True)
        self._utf8.reset()
        return rest
