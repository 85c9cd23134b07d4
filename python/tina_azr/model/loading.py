"""Loading of a policy: the embedded models by name, any Qwen3 by folder or hub name."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, Qwen3ForCausalLM
from transformers.utils import logging as transformers_logging

from tina_azr.config import RUNS, ModelConfig
from tina_azr.errors import ModelError
from tina_azr.text.chat import ChatTokenizer
from tina_azr.text.style import PromptStyle

ASSETS = Path(__file__).resolve().parent.parent / "assets"
EMBEDDED = ("tiny", "tiny-warm")
QWEN_CLOSING = (
    "Considering the limited time by the user, I have to give the solution based on the thinking directly now.\n</think>\n\n"
)
"""Sentence with which Qwen ends reasoning that ran out of budget (Qwen3 technical report, 2025)."""
ALIGNMENT = 64
"""Alignment of weights in bytes, as torch's own allocations on a CPU have it."""
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A model with its tokenizer and prompt set. Its weights change as it learns."""

    module: Qwen3ForCausalLM
    tokenizer: ChatTokenizer
    name: str
    folder: Path
    """Folder that it was loaded from. The tokenizer files there are copied to every saved copy."""
    style: PromptStyle
    device: torch.device
    closing_ids: tuple[int, ...]
    """Ids that are forced at the think limit: a sentence that ends the reasoning, and `</think>`."""


def load_policy(name: str, *, device: str = "auto", dtype: str = "float32", style: PromptStyle | None = None) -> Policy:
    """Load `tiny`, `tiny-warm`, a local folder or a hub name. Raises ModelError that says what is missing and what to do."""
    folder = find_folder(name)
    facts = _facts(folder)
    tokenizer = ChatTokenizer.from_folder(folder)
    module = _load_module(folder, DTYPES[dtype])
    if module.config.vocab_size < tokenizer.vocabulary_size:
        raise ModelError(
            f"{folder}: the tokenizer has {tokenizer.vocabulary_size} tokens, but the model has {module.config.vocab_size}: they do not "
            "belong together"
        )
    where = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)
    return Policy(
        module=_moved(module, where),
        tokenizer=tokenizer,
        name=name,
        folder=folder,
        style=style or prompt_set(folder),
        device=where,
        closing_ids=tuple(tokenizer.encode(facts.get("closing_text", QWEN_CLOSING))),
    )


def _moved(module: Qwen3ForCausalLM, device: torch.device) -> Qwen3ForCausalLM:
    torch.nn.Module.to(module, device)  # transformers' own override is annotated as if it took a model
    return module


def prompt_set(folder: Path) -> PromptStyle:
    """Return the prompt set that `tina.json` of a model's folder names; the full prompts if it names none. No weight is read."""
    return PromptStyle(_facts(folder).get("prompts", PromptStyle.FULL))


def prompt_style(config: ModelConfig) -> PromptStyle | None:
    """Return the prompt set that a configuration asks for; None for the one that the model's folder names."""
    return None if config.prompts == "auto" else PromptStyle(config.prompts)


def is_hub_name(name: str) -> bool:
    """Return whether a name can only be a hub name: it has the form `owner/model`, and is neither a local folder nor a run."""
    here = name in EMBEDDED or name.startswith((".", "~", "/")) or Path(name).is_dir() or Path(name).parent == RUNS
    return not here and name.count("/") == 1


def find_folder(name: str, *, download: bool = True) -> Path:
    """Return the folder of a model. A hub name is looked up in Hugging Face's cache, and downloaded to it if `download` allows.

    Raises ModelError if there is no such model.
    """
    if name in EMBEDDED:
        folder = ASSETS / name
        if not (folder / "config.json").is_file():
            raise ModelError(f"the embedded model {name} is missing from this installation ({folder}): install the package again")
        return folder
    path = Path(name).expanduser()
    if path.is_dir():
        return path
    if path.is_absolute() or not is_hub_name(name):
        known = ", ".join(EMBEDDED)
        raise ModelError(f"no model folder at {name}: give an existing folder, a hub name such as owner/model, or one of {known}")
    from huggingface_hub import snapshot_download

    try:
        patterns = ["*.json", "*.safetensors", "*.jinja", "*.txt"]
        return Path(snapshot_download(name, allow_patterns=patterns, local_files_only=not download))
    except (OSError, ValueError) as error:
        raise ModelError(f"{name} is not a local folder, and could not be downloaded from the hub: {error}") from error


def _facts(folder: Path) -> dict[str, Any]:
    path = folder / "tina.json"
    if not path.is_file():
        return {}
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        PromptStyle(facts.get("prompts", PromptStyle.FULL))
    except (ValueError, AttributeError) as error:
        raise ModelError(f"{path} cannot be used: {error}") from error
    return dict(facts)


def _load_module(folder: Path, dtype: torch.dtype) -> Qwen3ForCausalLM:
    if not (folder / "config.json").is_file():
        raise ModelError(f"{folder} has no config.json: it is not a model folder")
    try:
        config = AutoConfig.from_pretrained(folder)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"{folder / 'config.json'} cannot be used: {error}") from error
    if config.model_type != "qwen3":
        raise ModelError(f"{folder} holds a {config.model_type} model: only the Qwen3 architecture is supported")
    if not list(folder.glob("*.safetensors")):
        raise ModelError(f"{folder} has no *.safetensors: download the weights, or save them with save_pretrained")
    # A bar for a model that loads in milliseconds would break the live display.
    transformers_logging.disable_progress_bar()
    try:
        module: Qwen3ForCausalLM = Qwen3ForCausalLM.from_pretrained(folder, dtype=dtype, local_files_only=True)
    except Exception as error:
        raise ModelError(f"the weights in {folder} cannot be loaded: {error}") from error
    _own_aligned_weights(module)
    module.eval()
    return module


@torch.no_grad()
def _own_aligned_weights(module: Qwen3ForCausalLM) -> None:
    # Weights that need no conversion stay mapped into their file, at whatever byte they begin there, and matrix products round
    # differently on data that is not aligned. A resumed run must not depend on where its weights came from.
    for parameter in module.parameters():
        if parameter.data_ptr() % ALIGNMENT:
            parameter.data = parameter.data.clone()
