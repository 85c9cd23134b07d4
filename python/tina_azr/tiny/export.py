"""Writing a trained stage as a model folder that transformers, and this package, load by path."""

import json
from pathlib import Path

from safetensors.torch import load_file
from tokenizers import Tokenizer

from tina_azr.tiny.recipe import new_model
from tina_azr.tiny.vocabulary import save_vocabulary


def export_model(weights: Path, tokenizer: Path, folder: Path, *, name: str) -> None:
    """Weights in bfloat16 beside configuration, tokenizer, chat template and `tina.json`."""
    model = new_model(seed=0)
    model.load_state_dict(load_file(weights), strict=False)
    model.bfloat16()
    model.generation_config.do_sample = True
    model.generation_config.temperature = 1.0
    model.save_pretrained(folder)
    (folder / "model.safetensors").chmod(0o644)  # written only for its owner, but it goes into a wheel
    save_vocabulary(Tokenizer.from_file(str(tokenizer)), folder)
    facts = {"name": name, "prompts": "compact", "closing_text": "\n</think>\n\n"}
    (folder / "tina.json").write_text(json.dumps(facts, indent=2) + "\n")
