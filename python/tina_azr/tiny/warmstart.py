"""Supervised training of the embedded model: data-parallel processes, one thread each, resumable at any time.

Muon (orthogonalised momentum, Jordan et al. 2024) on the matrices, AdamW on embedding and norms. The workers add up their gradients,
so the result is that of one process with the joint batch.
"""

import json
import os
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.distributed as dist
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor
from torch.multiprocessing.spawn import spawn
from transformers import Qwen3ForCausalLM

from tina_azr.sandbox import Sandbox
from tina_azr.tiny.batches import Batch, BatchStream
from tina_azr.tiny.recipe import Recipe, Stage, new_model
from tina_azr.tiny.tracing import TRACING_LIMITS

SAVE_EVERY_S = 120.0
LOG_EVERY = 20
MAX_GRAD_NORM = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StageFiles:
    """Where a stage works."""

    tokenizer: Path
    held_out: Path
    """JSON list of keys that may not occur."""
    start: Path | None
    """Weights (safetensors) to start from; None: fresh."""
    work: Path
    """Folder for state and log."""

    @property
    def weights(self) -> Path:
        return self.work / "weights.safetensors"

    @property
    def log(self) -> Path:
        return self.work / "training_log.jsonl"


def learning_rate(stage: Stage, step: int, tokens: int) -> float:
    """Linear warm-up by steps, constant, then linear decay by tokens."""
    warm = min(1.0, (step + 1) / stage.warmup_steps)
    left = (1.0 - tokens / stage.tokens) / stage.decay_share
    return stage.peak_lr * warm * max(stage.final_lr_share, min(1.0, left))


def loss_sum(model: Qwen3ForCausalLM, batch: Batch) -> tuple[Tensor, Tensor]:
    """Weighted sum of next-token losses and the sum of weights."""
    ids = torch.from_numpy(batch.ids_BT)
    weights = torch.from_numpy(batch.weights_BT)[:, 1:].reshape(-1)
    logits = model(input_ids=ids, use_cache=False).logits[:, :-1]
    losses = F.cross_entropy(logits.reshape(-1, logits.shape[-1]), ids[:, 1:].reshape(-1), reduction="none")
    return (losses * weights).sum(), weights.sum()


class Optimizers:
    """Muon and AdamW as one."""

    def __init__(self, model: Qwen3ForCausalLM) -> None:
        embedding = model.model.embed_tokens.weight
        self._named = dict(model.named_parameters())
        matrices = [p for p in self._named.values() if p.ndim > 1 and p is not embedding]
        rest = [p for p in self._named.values() if p.ndim == 1]
        self._muon = torch.optim.Muon(matrices, weight_decay=0.02, momentum=0.95, adjust_lr_fn="match_rms_adamw")
        self._adamw = torch.optim.AdamW([embedding, *rest], betas=(0.9, 0.98), weight_decay=0.0, fused=True)

    def step(self, lr: float) -> None:
        optimizers: list[torch.optim.Optimizer] = [self._muon, self._adamw]
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = lr
            optimizer.step()
            optimizer.zero_grad(set_to_none=False)

    def _slots(self) -> Iterator[tuple[str, torch.optim.Optimizer, Tensor]]:
        for name, parameter in self._named.items():
            for optimizer in (self._muon, self._adamw):
                if any(parameter is p for group in optimizer.param_groups for p in group["params"]):
                    yield name, optimizer, parameter

    def state(self) -> dict[str, Tensor]:
        return {
            f"{name}|{key}": value.clone()
            for name, optimizer, parameter in self._slots()
            for key, value in optimizer.state[parameter].items()
        }

    def load(self, state: dict[str, Tensor]) -> None:
        for name, optimizer, parameter in self._slots():
            own = {key.split("|")[1]: value for key, value in state.items() if key.split("|")[0] == name}
            optimizer.state[parameter] = own


def run_stage(recipe: Recipe, stage: Stage, files: StageFiles) -> None:
    """Train to the stage's token count, going on from `files.work` if it holds a state. Writes weights and log there."""
    files.work.mkdir(parents=True, exist_ok=True)
    if recipe.workers == 1:
        _train(0, recipe, stage, files)
        return
    os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
    os.environ.setdefault("MASTER_PORT", "29477")
    spawn(_worker, args=(recipe, stage, files), nprocs=recipe.workers)


def _worker(rank: int, recipe: Recipe, stage: Stage, files: StageFiles) -> None:
    dist.init_process_group("gloo", rank=rank, world_size=recipe.workers)
    try:
        _train(rank, recipe, stage, files)
    finally:
        dist.destroy_process_group()


def _train(rank: int, recipe: Recipe, stage: Stage, files: StageFiles) -> None:
    torch.set_num_threads(1)
    held_out: Collection[str] = frozenset(json.loads(files.held_out.read_text()))
    model = new_model(stage.seed)
    if files.start is not None:
        model.load_state_dict(load_file(files.start), strict=False)
    optimizers = Optimizers(model)
    with Sandbox(limits=TRACING_LIMITS, workers=1) as sandbox:
        tokenizer = Tokenizer.from_file(str(files.tokenizer))
        stream = BatchStream(tokenizer, sandbox, recipe, stage, held_out, rank)
        step, tokens, seconds = _restore(files, model, optimizers, stream, rank)
        parameters = [p for p in model.parameters() if p.requires_grad]
        started, saved, average = time.monotonic() - seconds, time.monotonic(), None
        while tokens < stage.tokens:
            batch = stream.next()
            loss, weight = loss_sum(model, batch)
            loss.backward()
            totals = torch.tensor([loss.item(), weight.item(), float(batch.tokens)])
            _add_up(parameters, totals, recipe.workers)
            for parameter in parameters:
                assert parameter.grad is not None
                parameter.grad /= totals[1]
            torch.nn.utils.clip_grad_norm_(parameters, MAX_GRAD_NORM)
            optimizers.step(learning_rate(stage, step, tokens))
            step, tokens = step + 1, tokens + int(totals[2])
            current = float(totals[0] / totals[1])
            average = current if average is None else 0.97 * average + 0.03 * current
            seconds = time.monotonic() - started
            if rank == 0 and step % LOG_EVERY == 0:
                line = {"step": step, "tokens": tokens, "loss": round(average, 5), "seconds": round(seconds, 1)}
                with files.log.open("a") as log:
                    log.write(json.dumps(line | {"lr": round(learning_rate(stage, step, tokens), 7)}) + "\n")
            due = torch.tensor([float(time.monotonic() - saved > SAVE_EVERY_S)])
            if recipe.workers > 1:
                dist.broadcast(due, 0)
            if due.item() or tokens >= stage.tokens:
                saved = time.monotonic()
                _save(files, model, optimizers, stream, rank, step, tokens, seconds)
                if recipe.workers > 1:
                    dist.barrier()


def _add_up(parameters: Sequence[Tensor], totals: Tensor, workers: int) -> None:
    if workers == 1:
        return
    flat = torch.cat([p.grad.reshape(-1) for p in parameters if p.grad is not None] + [totals])
    dist.all_reduce(flat)
    offset = 0
    for parameter in parameters:
        assert parameter.grad is not None
        parameter.grad.copy_(flat[offset : offset + parameter.numel()].view_as(parameter))
        offset += parameter.numel()
    totals.copy_(flat[offset:])


def _save(
    files: StageFiles,
    model: Qwen3ForCausalLM,
    optimizers: Optimizers,
    stream: BatchStream,
    rank: int,
    step: int,
    tokens: int,
    seconds: float,
) -> None:
    # Each worker's place in its stream carries the step, so that a state torn between two saves is seen at restore.
    place = {"step": step, "chunk": stream.chunk, "index": stream.index}
    _write_atomically(files.work / f"stream-{rank}.json", json.dumps(place).encode())
    if rank == 0:
        temporary = files.work / "state.tmp"
        weights = {name: value.detach().clone() for name, value in model.named_parameters()}
        facts = {"step": str(step), "tokens": str(tokens), "seconds": str(seconds)}
        save_file({f"weights|{k}": v for k, v in weights.items()} | optimizers.state(), temporary, metadata=facts)
        temporary.rename(files.work / "state.safetensors")
        save_file(weights, files.weights)


def _restore(
    files: StageFiles, model: Qwen3ForCausalLM, optimizers: Optimizers, stream: BatchStream, rank: int
) -> tuple[int, int, float]:
    path = files.work / "state.safetensors"
    if not path.exists():
        return 0, 0, 0.0
    with safe_open(path, framework="pt") as opened:
        facts = opened.metadata()
    state = load_file(path)
    model.load_state_dict({k.removeprefix("weights|"): v for k, v in state.items() if k.startswith("weights|")}, strict=False)
    optimizers.load({k: v for k, v in state.items() if not k.startswith("weights|")})
    if rank == 0:
        _cut_log(files.log, int(facts["step"]))
    place = json.loads((files.work / f"stream-{rank}.json").read_text())
    stream.chunk, stream.index = place["chunk"], 0
    if place["step"] == int(facts["step"]):
        for _ in range(place["index"]):
            stream.next()
    else:
        # Killed between two files of one save: begin the next chunk, nothing is seen twice.
        stream.chunk += 1
    return int(facts["step"]), int(facts["tokens"]), float(facts["seconds"])


def _cut_log(log: Path, step: int) -> None:
    """Drop what was logged after the state was saved: it is about to happen again."""
    kept = [line for line in log.read_text().splitlines() if json.loads(line)["step"] <= step]
    _write_atomically(log, "".join(f"{line}\n" for line in kept).encode())


def _write_atomically(path: Path, data: bytes) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_bytes(data)
    temporary.rename(path)


def describe(recipe: Recipe) -> str:
    """The recipe as JSON, for the log and the model card."""
    return json.dumps(asdict(recipe), indent=2)
