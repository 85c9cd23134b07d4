"""Heads on disk: weights as safetensors, and JSON that says what they are and which policy they were fitted to.

They lie in the policy's own folder, so that whoever loads the policy finds them. Digests tell heads of another policy apart.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from tina_azr.errors import ModelError
from tina_azr.introspection.heads import FORMS, HeadShape, LinearHeads, LinkedHeads, TapHeads, build_heads

FORMAT = 1
WHOLE = 1 << 22
"""Modules of at most so many weights (all heads, and small policies) are digested whole."""
PROBED = 4_096
"""Elements of each tensor that the digest of a larger module looks at."""

AnyHeads = LinearHeads | TapHeads | LinkedHeads


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadFacts:
    """What is known of a set of heads beside its shape."""

    policy_digest: str
    """Of the weights that they were last fitted to."""
    labels: int
    """Prompts with outcomes that they have been trained on."""
    step: int
    """Of the run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredHeads:
    """Heads as they were found."""

    heads: AnyHeads
    facts: HeadFacts
    digest: str
    """Of their weights."""


@torch.no_grad()
def weights_digest(module: nn.Module) -> str:
    """Sixteen hex digits from names, shapes and weights. Of a large module, from evenly spaced ones: any training step changes it."""
    digest = hashlib.sha256()
    state = sorted(module.state_dict().items())
    whole = sum(tensor.numel() for _, tensor in state) <= WHOLE
    for name, tensor in state:
        flat = tensor.detach().reshape(-1)
        picked = flat[:: 1 if whole else max(1, flat.numel() // PROBED)].to("cpu", torch.float32)
        digest.update(f"{name} {tuple(tensor.shape)} ".encode())
        digest.update(picked.numpy().astype("<f4").tobytes())
    return digest.hexdigest()[:16]


def _files(folder: Path, name: str | None) -> tuple[Path, Path]:
    stem = "heads" if name is None else f"heads.{name}"
    return folder / f"{stem}.safetensors", folder / f"{stem}.json"


def save_heads(heads: AnyHeads, facts: HeadFacts, folder: Path, *, name: str | None = None) -> None:
    """Write both files. The heads without a name are those that act."""
    weights, path = _files(folder, name)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in heads.state_dict().items()}
    save_file(tensors, weights, metadata={"format": "pt"})
    document = {"format": FORMAT, "shape": asdict(heads.shape), **asdict(facts), "heads_digest": weights_digest(heads)}
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def save_all_heads(heads: Mapping[str, AnyHeads], facts: HeadFacts, folder: Path) -> None:
    """Heads by form: the first ones act, the others lie beside them by name."""
    for number, (name, one) in enumerate(heads.items()):
        save_heads(one, facts, folder, name=None if number == 0 else name)


def head_names(folder: Path) -> tuple[str, ...]:
    """Names of the heads beside a policy that were trained for comparison."""
    return tuple(sorted(path.name.removeprefix("heads.").removesuffix(".json") for path in folder.glob("heads.*.json")))


def load_heads(folder: Path, name: str | None = None) -> StoredHeads | None:
    """The heads beside a policy; None if there are none. Raises ModelError for files that cannot be used."""
    weights, path = _files(folder, name)
    if not path.is_file():
        return None
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if document["format"] != FORMAT:
            raise ModelError(f"{path} is of format {document['format']}, this version reads {FORMAT}: fit the heads again")
        shape = HeadShape(**{**document["shape"], "taps": tuple(document["shape"]["taps"])})
        facts = HeadFacts(policy_digest=document["policy_digest"], labels=document["labels"], step=document["step"])
        if shape.kind not in FORMS:
            raise ModelError(f"{path} names heads of the form `{shape.kind}`; known are {', '.join(FORMS)}")
        heads = build_heads(shape, seed=0)
        heads.load_state_dict(load_file(weights))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        if isinstance(error, ModelError):
            raise
        # Of a mismatch torch lists every tensor.
        why = "the weights do not have the shape that the JSON says" if isinstance(error, RuntimeError) else error
        raise ModelError(
            f"the heads in {folder} cannot be used ({why}): remove {path.name} and {weights.name}, or fit them again"
        ) from error
    digest = weights_digest(heads)
    if document.get("heads_digest") != digest:
        raise ModelError(f"{weights} does not belong to {path}: their digests differ. Copy both, or fit the heads again")
    if not all(np.isfinite(tensor.numpy()).all() for tensor in heads.state_dict().values()):
        raise ModelError(f"{weights} holds numbers that are not finite: fit the heads again")
    heads.eval()
    return StoredHeads(heads=heads, facts=facts, digest=digest)
