"""What the pages in docs/ say is true: their examples run, their tables list what is written."""

import importlib
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tina_azr.config import TasksConfig, load_config
from tina_azr.rollout.types import Completion, StopCause
from tina_azr.runs.folder import RunFolder
from tina_azr.runs.metrics import HeldoutCell, HeldoutMetrics, StepMetrics
from tina_azr.sandbox import Sandbox
from tina_azr.selfplay.rewards import Rewards
from tina_azr.selfplay.types import Rollout
from tina_azr.tasks.blocks import fence
from tina_azr.tasks.grading import grade
from tina_azr.tasks.modes import MODES
from tina_azr.tasks.types import Role, Task, TaskRejected, Verdict
from tina_azr.tasks.validation import Validator
from tina_azr.text.style import PromptStyle
from tina_azr.train.advantages import ADVANTAGES, RewardTable

DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r"^```python (file|code|line)=(\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Addition:
    """A block of docs/extending.md: a new file, code for an existing module, or a line for a dictionary."""

    kind: str
    where: str
    text: str


def additions() -> list[Addition]:
    page = (DOCS / "extending.md").read_text(encoding="utf-8")
    return [Addition(kind=kind, where=where, text=text) for kind, where, text in BLOCK.findall(page)]


@pytest.fixture
def extended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Import every file of the page from where the page puts it, run its code in its module, put every line in its dictionary."""
    defined: dict[str, object] = {}
    for addition in additions():
        if addition.kind == "file":
            path = tmp_path / addition.where
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(addition.text, encoding="utf-8")
            name = ".".join(Path(addition.where).relative_to("python").with_suffix("").parts)
            package = importlib.import_module(name.rpartition(".")[0])
            monkeypatch.setattr(package, "__path__", [*package.__path__, str(path.parent)])
            defined.update(vars(importlib.import_module(name)))
            del sys.modules[name]
        elif addition.kind == "code":
            space = dict(vars(importlib.import_module(addition.where)))
            exec(addition.text, space)
            defined.update(space)
        else:
            module, _, table = addition.where.partition(":")
            entries = eval(f"{{{addition.text}}}", defined)
            for key, value in entries.items():
                monkeypatch.setitem(getattr(importlib.import_module(module), table), key, value)


def test_the_page_extends_what_it_says_it_does() -> None:
    assert [addition.where for addition in additions() if addition.kind == "line"] == [
        "tina_azr.selfplay.rewards:SOLVER_TERMS",
        "tina_azr.train.advantages:ADVANTAGES",
        "tina_azr.introspection.heads:AGGREGATORS",
        "tina_azr.tasks.modes:MODES",
    ]


@pytest.mark.usefixtures("extended")
def test_the_reward_term_of_the_page_changes_a_reward() -> None:
    completion = Completion(
        ids_T=np.arange(60),
        logprobs_T=np.zeros(60, np.float32),
        forced_T=np.zeros(60, np.bool_),
        stop_cause=StopCause.STOP_ID,
        think_tokens=50,
        forced_close=False,
    )
    rollout = Rollout(
        role=Role.SOLVER,
        mode="deduction",
        group="k",
        prompt_ids=(1,),
        completion=completion,
        answer="",
        verdict=Verdict.CORRECT,
    )
    plain, priced = (
        Rewards(load_config(None, [f"rewards.solver_terms={terms}"]).rewards)
        for terms in ("[correctness]", "[correctness, brevity]")
    )
    assert plain.of_solver(rollout) == 1.0
    assert priced.of_solver(rollout) == pytest.approx(0.95)


@pytest.mark.usefixtures("extended")
def test_the_advantage_rule_of_the_page_centres_each_stratum() -> None:
    table = RewardTable(
        rewards_N=np.array([1.0, 0.0, 3.0, 3.0]),
        strata_N=np.array([0, 0, 1, 1]),
        groups_N=np.array([0, 0, 1, 1]),
        solver_N=np.array([True, True, False, False]),
        tokens_N=np.array([5, 5, 5, 5]),
    )
    advantages = ADVANTAGES["centred"](table)
    assert advantages.values_N.tolist() == [0.5, -0.5, 0.0, 0.0]
    assert advantages.strata_dropped == 1


@pytest.mark.usefixtures("extended")
def test_the_aggregator_of_the_page_pools_layers() -> None:
    import torch

    from tina_azr.introspection.heads import HeadShape, build_heads

    heads = build_heads(HeadShape(kind="linked", taps=(0, 1), hidden_size=4, width=3, aggregator="maximum"), seed=0)
    outputs = heads.predict(torch.randn(5, 2, 4, generator=torch.Generator().manual_seed(0)))
    assert outputs.c0_logits_N.shape == (5,)
    assert outputs.alpha_NL is None


@pytest.mark.usefixtures("extended")
def test_the_task_mode_of_the_page_proposes_validates_and_grades() -> None:
    mode = MODES["size"]
    blocks = fence("python", "def f(n):\n    return [n] * n") + fence("input", "3")
    proposals = [mode.parse_proposal(blocks, ()), mode.parse_proposal(blocks.replace("[n] * n", "n * n"), ())]
    with Sandbox(workers=1) as sandbox:
        task, refused = Validator(sandbox, TasksConfig()).validate(proposals)
        assert isinstance(task, Task)
        assert isinstance(refused, TaskRejected)
        assert refused.detail == "9 has no size"
        assert task.program in mode.solve_prompt(PromptStyle.FULL, task)
        answers = [fence("output", "3"), fence("output", "[3, 3, 3]"), "3", None]
        assert grade(sandbox, [(task, answers)]) == [[Verdict.CORRECT, Verdict.WRONG, Verdict.MALFORMED, Verdict.MALFORMED]]


def documented(heading: str) -> list[str]:
    """First column of the table below a heading of docs/run_folder.md."""
    section = (DOCS / "run_folder.md").read_text(encoding="utf-8").split(f"### `{heading}`")[1].split("\n#")[0]
    return re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)


def test_the_documented_fields_of_a_step_are_those_that_are_written() -> None:
    nothing: dict[str, float] = {}
    line = StepMetrics(
        step=1,
        seconds=0.0,
        proposals=0,
        valid_rate=0.0,
        distinct_rate=0.0,
        rejects={},
        tasks=0,
        reward={},
        pass_rate=None,
        pass_rate_by_mode=nothing,
        think_tokens={},
        proposed_steps=None,
        samples=0,
        strata_dropped=0,
        loss=0.0,
        grad_norm=0.0,
        entropy=0.0,
        clip_fraction=0.0,
        programs=0,
        programs_per_second=0.0,
        tokens=0,
        tokens_per_second=0.0,
        seconds_by_phase=nothing,
    ).to_json()
    assert documented("kind: step") == list(line)


def test_the_documented_fields_of_an_evaluation_are_those_that_are_written() -> None:
    cell = HeldoutCell(n=1, accuracy=0.0, stderr=0.0, accuracy_greedy=None, stderr_greedy=None, think_tokens=0.0)
    line = HeldoutMetrics(step=0, seconds=0.0, in_distribution=cell, by_mode={}, by_stratum={}).to_json()
    assert documented("kind: heldout") == list(line)


def test_every_file_of_a_run_is_documented(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run", load_config())
    with run.locked():
        made = {path.name for path in run.path.iterdir()}
    table = (DOCS / "run_folder.md").read_text(encoding="utf-8").split("## metrics.jsonl")[0]
    documented = {
        name.split("/")[0] for cell in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for name in re.findall("`(.+?)`", cell)
    }
    assert made - documented == set()


def test_the_python_example_of_the_sandbox_page_is_true() -> None:
    page = (DOCS / "sandbox.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert "assert" in example
    exec(example, {})
