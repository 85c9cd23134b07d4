"""The embedded model's tokenizer: a small byte-level BPE with Qwen3's special tokens and a chat template of its shape."""

import json
import re
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

SPECIAL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>")
VOCABULARY_SIZE = 576
"""Merges stop paying at about 520 entries on this language; padded to a multiple of 64."""
SPLIT = (
    r"'|[a-exyzA-EX-Z](?=[a-exyzA-EX-Z]*(?!\p{L}))|[^\r\n\p{L}\p{N}']?\p{L}+| ?\p{N}"
    r"| ?[^\s\p{L}\p{N}']+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""Qwen's pattern with two changes, each so that an operation can be learned: single digits (`18` is two tokens), and the letters of
the generator's strings one by one (`'cdd'` is five), where merges would hide what `s[::-1]` does."""
CHAT_TEMPLATE = """\
{%- for message in messages %}
    {%- if message.role == 'assistant' and '</think>' in message.content %}
        {{- '<|im_start|>assistant\\n' + message.content.split('</think>')[-1].lstrip('\\n') + '<|im_end|>\\n' }}
    {%- else %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n<think>\\n' }}
{%- endif %}
"""
"""Qwen3-Thinking-2507's shape: the prompt opens the reasoning, reasoning of earlier turns is dropped."""


def render_prompt(user: str) -> str:
    """What `CHAT_TEMPLATE` makes of one user message."""
    return f"<|im_start|>user\n{user}<|im_end|>\n<|im_start|>assistant\n<think>\n"


def train_vocabulary(texts: Iterable[str]) -> Tokenizer:
    """Byte-level BPE over prompts and completions."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(SPLIT), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        min_frequency=20,
        show_progress=False,
    )
    # Tags stay out of the counts, or their letters would become merges.
    special = re.compile("|".join(re.escape(token) for token in SPECIAL_TOKENS))
    tokenizer.train_from_iterator((piece for text in texts for piece in special.split(text)), trainer)
    return tokenizer


def save_vocabulary(tokenizer: Tokenizer, folder: Path) -> None:
    """Write the files that transformers' AutoTokenizer and our ChatTokenizer read."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "bos_token": None,
        "unk_token": None,
        "model_max_length": 1024,
        "clean_up_tokenization_spaces": False,
        "additional_special_tokens": ["<|im_start|>", "<|im_end|>"],
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n")
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE)
