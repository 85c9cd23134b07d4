"""Measurement of the embedded model, and its model card written from the figures."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from string import Template

from tina_azr.config import load_config
from tina_azr.model.loading import load_policy
from tina_azr.rollout.decode import DecodeEngine
from tina_azr.rollout.types import SamplingParams
from tina_azr.sandbox import Sandbox
from tina_azr.selfplay.heldout import Accuracy, HeldoutReport, evaluate_heldout
from tina_azr.selfplay.proposing import Assignment, sample_proposals
from tina_azr.tasks.heldout import load_heldout
from tina_azr.tasks.seeds import load_seeds
from tina_azr.tasks.types import TaskRejected
from tina_azr.tasks.validation import Validator
from tina_azr.text.style import PromptStyle

PROPOSALS_PER_MODE = 128
SAMPLES = 4
CARD = Path(__file__).with_name("card.md")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """Figures of one model on the held-out report set."""

    name: str
    parameters: int
    tokens_trained: int
    valid_rate: float
    """Share of proposals that validation accepts, at temperature 1."""
    distinct_rate: float
    """Share of distinct programs among the valid ones."""
    heldout: HeldoutReport

    def summary(self) -> dict[str, object]:
        """Plain values for `evaluation.json`."""
        return {
            "name": self.name,
            "parameters": self.parameters,
            "tokens_trained": self.tokens_trained,
            "samples_per_task": SAMPLES,
            "valid_rate": round(self.valid_rate, 4),
            "distinct_rate": round(self.distinct_rate, 4),
            "strata_1_3": _plain(self.heldout.in_distribution),
            "strata_4_6": _plain(self.heldout.longer),
            "by_mode": {mode: _plain(figures) for mode, figures in self.heldout.by_mode.items()},
            "by_stratum": {str(stratum): _plain(figures) for stratum, figures in self.heldout.by_stratum.items()},
        }


def measure(folder: Path, *, heldout: Path, name: str) -> Measurement:
    """Evaluate a model folder on the report set and on its proposals; writes `evaluation.json` and `README.md` into it."""
    config = load_config(None, [f"model.name={folder}"])
    policy = load_policy(str(folder))
    engine = DecodeEngine(policy, slots=config.selfplay.slots)
    with Sandbox() as sandbox:
        tasks = load_heldout(heldout)
        figures = evaluate_heldout(policy, engine, sandbox, tasks, config=config, seed=0, samples=SAMPLES)
        references = load_seeds(PromptStyle.COMPACT)
        assignments = [
            Assignment(mode=mode, references=(references[index % len(references)],), extend=index % 2 == 1)
            for mode in config.tasks.modes
            for index in range(PROPOSALS_PER_MODE)
        ]
        records = sample_proposals(
            policy,
            engine,
            assignments,
            step=0,
            params=SamplingParams(max_tokens=config.selfplay.max_tokens),
            seeds=range(len(assignments)),
        )
        proposals = [record.proposal for record in records if record.proposal is not None]
        judged = Validator(sandbox, config.tasks).validate(proposals)
    accepted = [task for task in judged if not isinstance(task, TaskRejected)]
    log = (folder / "training_log.jsonl").read_text().splitlines()
    measurement = Measurement(
        name=name,
        parameters=sum(parameter.numel() for parameter in policy.module.parameters()),
        tokens_trained=int(json.loads(log[-1])["tokens"]),
        valid_rate=len(accepted) / len(records),
        distinct_rate=len({task.program for task in accepted}) / max(1, len(accepted)),
        heldout=figures,
    )
    (folder / "evaluation.json").write_text(json.dumps(measurement.summary(), indent=2) + "\n")
    (folder / "README.md").write_text(model_card(measurement))
    return measurement


def model_card(measurement: Measurement) -> str:
    """The card: fixed text about how the model was made, figures from the measurement."""
    rows = [
        f"| {stratum} | {_share(figures.accuracy, figures.stderr)} | {_share(figures.accuracy_greedy, figures.stderr_greedy)} |"
        for stratum, figures in measurement.heldout.by_stratum.items()
    ]
    modes = [
        f"| {mode} | {_share(figures.accuracy, figures.stderr)} | {_share(figures.accuracy_greedy, figures.stderr_greedy)} | "
        f"{figures.think_tokens:.1f} |"
        for mode, figures in measurement.heldout.by_mode.items()
    ]
    stage = "the shipped base" if measurement.name == "tiny" else "the stage before `tiny`, and the yardstick to pass"
    return Template(CARD.read_text()).substitute(
        name=measurement.name,
        stage=stage,
        parameters=f"{measurement.parameters:,}",
        tokens=f"{measurement.tokens_trained / 1e6:.1f} M",
        valid=f"{measurement.valid_rate:.1%}",
        distinct=f"{measurement.distinct_rate:.1%}",
        proposals=str(PROPOSALS_PER_MODE * len(measurement.heldout.by_mode)),
        samples=str(SAMPLES),
        tasks=str(len(measurement.heldout.keys_N)),
        strata="\n".join(rows),
        modes="\n".join(modes),
    )


def _share(value: float | None, stderr: float | None) -> str:
    return "-" if value is None or stderr is None else f"{value:.3f} ± {stderr:.3f}"


def _plain(figures: Accuracy) -> dict[str, float | int | None]:
    return {key: round(value, 4) if isinstance(value, float) else value for key, value in asdict(figures).items()}
