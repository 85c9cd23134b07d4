"""`tina-azr train --dry-run`: checks of everything that a run needs. No weights are loaded and nothing is written."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tina_azr.cli.train.plan import Plan
from tina_azr.config import Config
from tina_azr.config.yaml import write_yaml
from tina_azr.errors import ModelError
from tina_azr.formatting import counted, duration
from tina_azr.model.loading import EMBEDDED, find_folder
from tina_azr.model.memory import Memory, ModelDimensions, estimate_memory
from tina_azr.runs.checkpoint import find_checkpoint
from tina_azr.runs.folder import RunFolder
from tina_azr.sandbox.opening import open_sandbox
from tina_azr.tasks.heldout import load_heldout_sets
from tina_azr.text.chat import ChatTokenizer

_PROGRAM, _CALL, _VALUE = "def f(x):\n    return [x, x + 1]\n", "f(1)", "[1, 2]"


def check_plan(plan: Plan, console: Console) -> None:
    """Print what would be run and what it needs. Raises the error that the run itself would raise. Writes nothing."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("run", Text(_run(plan)))
    table.add_row("settings", Text("\n".join(_changes(plan.config)) or "the defaults"))
    table.add_row("work", _work(plan.config))
    folder = _model_folder(plan)
    table.add_row("model", Text(_model(plan.config.model.name, folder)))
    table.add_row("memory", _memory(plan.config, folder))
    table.add_row("sandbox", _sandbox(plan.config))
    table.add_row("held-out", _heldout(plan.config))
    console.print(table)
    console.print("dry run: nothing was written, nothing trained", style="dim")


def _run(plan: Plan) -> str:
    if not plan.resume:
        RunFolder.refuse_existing(plan.path)
        return f"new, in {plan.path}/"
    run = RunFolder.open(plan.path)
    checkpoint = find_checkpoint(run, plan.from_step)
    if checkpoint is None:
        return f"{plan.path}/ from the beginning: it has no checkpoint yet"
    return f"{plan.path}/ from checkpoint step-{checkpoint.step} (verified), after {duration(checkpoint.seconds)} of training"


def _changes(config: Config) -> Iterator[str]:
    def leaves(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
        for name, value in values.items():
            if isinstance(value, dict):
                yield from leaves(value, f"{prefix}{name}.")
            else:
                yield f"{prefix}{name}", value

    defaults = dict(leaves(Config().model_dump(mode="json")))
    for name, value in leaves(config.model_dump(mode="json")):
        if value != defaults[name]:
            yield f"{name} = {write_yaml(value, inline=True)} (default {write_yaml(defaults[name], inline=True)})"


def _work(config: Config) -> str:
    proposals = config.selfplay.proposals_per_mode * len(config.tasks.modes)
    minutes = f" or {config.run.max_minutes:g} minutes" if config.run.max_minutes is not None else ""
    return (
        f"{counted(config.run.steps, 'step')}{minutes}; a step is {proposals} proposals and up to "
        f"{proposals * config.selfplay.group_size} rollouts of at most {config.selfplay.max_tokens} tokens"
    )


def _model_folder(plan: Plan) -> Path | None:
    """Return the folder of the weights, or None for a hub name that is not downloaded yet."""
    name = plan.config.model.name
    if plan.resume:
        run = RunFolder(plan.path)
        steps = run.checkpoint_steps()
        if steps:
            return run.checkpoint(steps[-1] if plan.from_step is None else plan.from_step) / "model"
    hub_name = name not in EMBEDDED and not Path(name).expanduser().is_dir() and name.count("/") == 1 and name[0] not in "./~"
    if not hub_name:
        return find_folder(name)
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(name, "config.json")
    return Path(cached).parent if isinstance(cached, str) else None


def _model(name: str, folder: Path | None) -> str:
    if folder is None:
        return f"{name} is not on this machine: it will be downloaded from the hub"
    shape = ModelDimensions.of_folder(folder)
    if not any(folder.glob("*.safetensors")):
        raise ModelError(f"{folder} has no *.safetensors: download the weights, or save them with save_pretrained")
    ChatTokenizer.from_folder(folder)
    return f"{name}: {_count(shape.parameters)} parameters, {shape.layers} layers of {shape.hidden}, in {folder}"


def _memory(config: Config, folder: Path | None) -> str:
    if folder is None:
        return "unknown before the download"
    memory = estimate_memory(ModelDimensions.of_folder(folder), config)
    there, what = _available(config)
    parts = ", ".join(f"{name} {_bytes(size)}" for name, size in _parts(memory))
    verdict = (
        ""
        if memory.total < there
        else (
            "\n[yellow]That is more than there is: lower selfplay.slots, selfplay.max_tokens or learning.micro_batch_tokens"
            f"{'' if config.learning.gradient_checkpointing else ', or set learning.gradient_checkpointing'}.[/yellow]"
        )
    )
    return f"about {_bytes(memory.total)} ({parts}) of {_bytes(there)} {what}{verdict}"


def _parts(memory: Memory) -> tuple[tuple[str, int], ...]:
    return (
        ("weights", memory.weights),
        ("gradients", memory.gradients),
        ("optimizer", memory.optimizer),
        ("KV cache", memory.kv_cache),
        ("activations", memory.activations),
    )


def _available(config: Config) -> tuple[int, str]:
    import torch

    if config.model.device != "cpu" and torch.cuda.is_available():
        device = torch.device("cuda" if config.model.device == "auto" else config.model.device)
        return torch.cuda.mem_get_info(device)[0], f"free on {torch.cuda.get_device_name(device)}"
    for line in Path("/proc/meminfo").read_text().splitlines() if Path("/proc/meminfo").exists() else ():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024, "available"
    import os

    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), "installed"


def _sandbox(config: Config) -> str:
    with open_sandbox(config.sandbox) as sandbox:
        outcome = sandbox.check(_PROGRAM, _CALL)
    if outcome.value != _VALUE:
        return f"[red]a test program gave {outcome.kind.value} {outcome.value or outcome.error}: see `tina-azr doctor`[/red]"
    return f"policy {config.sandbox.policy}; a test program ran on both images, in {outcome.wall_ms:.1f} ms"


def _heldout(config: Config) -> str:
    tasks, excluded = load_heldout_sets(config)
    modes = ", ".join(dict.fromkeys(held_out.task.mode for held_out in tasks))
    return f"{len(tasks)} tasks ({modes}), every {config.heldout.every} steps; {len(excluded)} keys that no proposal may have"


def _count(number: int) -> str:
    return f"{number / 1e9:.2f} G" if number >= 1e9 else f"{number / 1e6:.2f} M"


def _bytes(size: int) -> str:
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"
