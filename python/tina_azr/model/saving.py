"""Saving a policy as a folder that this package and plain transformers load."""

import shutil
from pathlib import Path

from safetensors.torch import save_file

from tina_azr.model.loading import Policy

COMPANIONS = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "tina.json", "generation_config.json")


def save_policy(policy: Policy, folder: Path) -> None:
    """Weights as one safetensors file in their own type, the configuration, and the tokenizer's files as they were."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in COMPANIONS:
        if (policy.folder / name).is_file():
            shutil.copyfile(policy.folder / name, folder / name)
    policy.module.config.save_pretrained(folder)
    # Fused weights share storage: what is written are copies, each tensor whole. A tied head is not written twice.
    seen: set[int] = set()
    tensors = {}
    for name, parameter in policy.module.named_parameters():
        if id(parameter) not in seen:
            seen.add(id(parameter))
            tensors[name] = parameter.detach().to("cpu", copy=True).contiguous()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
