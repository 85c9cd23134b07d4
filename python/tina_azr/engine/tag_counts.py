"""Tokens between further tag pairs, such as `<plan>` and `</plan>`: declared by name (`checks.check_tags`), ordinary text to the model.

Qwen's think tags are single tokens and are counted by id (`text/tags`). These may be any number of tokens, so they are found in the
text, and a token counts where it begins.
"""

from collections.abc import Sequence

from tina_azr.text.chat import ChatTokenizer


def count_tagged_tokens(tokenizer: ChatTokenizer, ids: Sequence[int], names: Sequence[str]) -> dict[str, int]:
    """For each name, tokens between its opening and its next closing tag; an opening tag that is never closed counts to the end.

    Tokens of the tags themselves do not count, nor does an opening tag inside of its own span.
    """
    if not names:
        return {}
    decoder = tokenizer.stream_decoder()
    starts, text = [], ""
    for index in ids:
        starts.append(len(text))
        text += decoder.push(index)
    text += decoder.flush()
    return {name: _count(text, starts, name) for name in names}


def _count(text: str, starts: Sequence[int], name: str) -> int:
    total, at = 0, 0
    while (opened := text.find(f"<{name}>", at)) >= 0:
        begin = opened + len(name) + 2
        end = text.find(f"</{name}>", begin)
        stop = len(text) if end < 0 else end
        total += sum(begin <= start < stop for start in starts)
        at = stop + len(name) + 3
    return total
