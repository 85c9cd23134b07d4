"""Qwen3 model with random weights, and the shape and tokenizer of a real one, for measurements without the real weights.

    python tests/gpu/random_qwen3.py QWEN3_FOLDER FOLDER [--layers N] [--dtype bfloat16] [--heads]

QWEN3_FOLDER needs its config.json and tokenizer files, no weights. `--heads` puts heads that have learned nothing beside them.
"""

import argparse
import shutil
from pathlib import Path

import torch
from transformers import AutoConfig, Qwen3ForCausalLM

from tina_azr.introspection.heads import HeadShape, build_heads
from tina_azr.introspection.heads_file import HeadFacts, save_heads, weights_digest
from tina_azr.model.loading import DTYPES
from tina_azr.model.taps import default_taps


def main() -> None:
    """Write the model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("like", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--layers", type=int, help="keep the width and use fewer layers")
    parser.add_argument("--dtype", choices=sorted(DTYPES), default="bfloat16")
    parser.add_argument("--heads", action="store_true")
    given = parser.parse_args()
    config = AutoConfig.from_pretrained(given.like)
    if given.layers:
        config.num_hidden_layers = given.layers
        config.layer_types = None
    torch.manual_seed(0)
    torch.set_default_dtype(DTYPES[given.dtype])
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        module = Qwen3ForCausalLM(config)
    module.save_pretrained(given.folder)
    for path in given.like.iterdir():
        if path.name.startswith("tokenizer"):
            shutil.copyfile(path, given.folder / path.name)
    if given.heads:
        torch.set_default_dtype(torch.float32)
        shape = HeadShape(kind="tap", hidden_size=config.hidden_size, taps=default_taps(config.num_hidden_layers))
        save_heads(build_heads(shape, seed=0), HeadFacts(policy_digest=weights_digest(module), labels=0, step=0), given.folder)
    print(f"{sum(weight.numel() for weight in module.parameters()):,} random parameters in {given.folder}")


if __name__ == "__main__":
    main()
