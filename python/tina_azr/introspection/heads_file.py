"""Files of heads: weights as safetensors, and JSON with their shape and the policy that they were fitted to.

They are in the policy's folder, so they are found with the policy. Digests reveal heads of another policy.
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
from tina_azr.introspection.heads import AGGREGATORS, FORMS, HeadShape, LinearHeads, LinkedHeads, TapHeads, build_heads

FORMAT = 1
WHOLE = 1 << 22
"""Largest number of weights of a module that is digested whole (all heads, and small policies)."""
PROBED = 4_096
"""Number of elements of each tensor in the digest of a larger module."""

AnyHeads = LinearHeads | TapHeads | LinkedHeads


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadFacts:
    """Training facts about a set of heads."""

    policy_digest: str
    """Digest of the policy weights that they were last fitted to."""
    labels: int
    """Number of prompts with outcomes that they have been trained on."""
    step: int
    """Training step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredHeads:
    """Heads that were loaded from a folder."""

    heads: AnyHeads
    facts: HeadFacts
    digest: str
    """Digest of their weights."""


@torch.no_grad()
def weights_digest(module: nn.Module) -> str:
    """Return sixteen hex digits from names, shapes and weights.

    Of a large module only evenly spaced weights are read, but any training step changes the digest.
    """
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
    """Write both files. Heads without a name are the primary heads."""
    weights, path = _files(folder, name)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in heads.state_dict().items()}
    save_file(tensors, weights, metadata={"format": "pt"})
    document = {"format": FORMAT, "shape": asdict(heads.shape), **asdict(facts), "heads_digest": weights_digest(heads)}
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def save_all_heads(heads: Mapping[str, AnyHeads], facts: HeadFacts, folder: Path) -> None:
    """Write heads by form. The first are the primary heads, and the others get their form as name."""
    for number, (name, one) in enumerate(heads.items()):
        save_heads(one, facts, folder, name=None if number == 0 else name)


def head_names(folder: Path) -> tuple[str, ...]:
    """Return the names of the heads in a folder that were trained for comparison."""
    return tuple(sorted(path.name.removeprefix("heads.").removesuffix(".json") for path in folder.glob("heads.*.json")))


def load_heads(folder: Path, name: str | None = None) -> StoredHeads | None:
    """Load the heads in a policy's folder; None if there are none. Raises ModelError for files that cannot be used."""
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
        if shape.aggregator not in AGGREGATORS:
            raise ModelError(f"{path} names the aggregator `{shape.aggregator}`; known are {', '.join(AGGREGATORS)}")
        heads = build_heads(shape, seed=0)
        heads.load_state_dict(load_file(weights))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        if isinstance(error, ModelError):
            raise
        # For a mismatch, torch lists every tensor.
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
