"""Saving of a policy as a folder that this package and plain transformers can load."""

import json
import shutil
from pathlib import Path

from safetensors.torch import save_file

from tina_azr.model.loading import Policy, prompt_set
from tina_azr.text.style import PromptStyle

COMPANIONS = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "tina.json", "generation_config.json")


def save_policy(policy: Policy, folder: Path) -> None:
    """Write the weights as one safetensors file in their own dtype, the configuration, the tokenizer's files, and the prompt set."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in COMPANIONS:
        if (policy.folder / name).is_file():
            shutil.copyfile(policy.folder / name, folder / name)
    if prompt_set(folder) is not policy.style:
        _name_prompt_set(policy.style, folder / "tina.json")
    policy.module.config.save_pretrained(folder)
    # Fused weights share storage, so each tensor is copied before it is written. A tied head is not written twice.
    seen: set[int] = set()
    tensors = {}
    for name, parameter in policy.module.named_parameters():
        if id(parameter) not in seen:
            seen.add(id(parameter))
            tensors[name] = parameter.detach().to("cpu", copy=True).contiguous()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def _name_prompt_set(style: PromptStyle, path: Path) -> None:
    """Write the prompt set to `tina.json`. `model.prompts` may differ from the folder, and the copy needs the set it was trained with."""
    facts = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    path.write_text(json.dumps({**facts, "prompts": style.value}, indent=2) + "\n", encoding="utf-8")
