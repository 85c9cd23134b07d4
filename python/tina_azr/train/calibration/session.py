"""What `tina-azr calibrate` does: rollouts of tasks that heads have not learned from, the fit, the scores, the files."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tina_azr.config import Config
from tina_azr.engine.loading import model_folder
from tina_azr.errors import ConfigError, ModelError, RunError, ScoreError
from tina_azr.introspection.calibration import CALIBRATION, Calibration, tokenizer_digest
from tina_azr.introspection.fitting import MIN_LABELS, Method, check_count, measured
from tina_azr.introspection.heads_file import AnyHeads, HeadFacts, head_names, load_heads, save_all_heads, weights_digest
from tina_azr.introspection.introspector import Introspector
from tina_azr.introspection.scores import Interval
from tina_azr.model.loading import Policy, load_policy, prompt_style
from tina_azr.runs.checkpoint import renew_heads_in_manifest
from tina_azr.runs.folder import RunFolder
from tina_azr.sandbox.opening import open_sandbox
from tina_azr.selfplay.chained_tasks import chained_tasks
from tina_azr.selfplay.seeding import RandomStream, generator, request_seeds
from tina_azr.selfplay.solving import solver_prompt
from tina_azr.selfplay.types import RolloutGroup
from tina_azr.tasks.heldout import load_heldout_sets
from tina_azr.tasks.queries import TaskFilter, list_tasks
from tina_azr.tasks.types import Task
from tina_azr.tasks.validation import Validator
from tina_azr.train.calibration.labels import (
    Digests,
    Predictions,
    cross_fitted,
    fit_calibration,
    predictions_of,
    sample_labels,
    scores_of,
)
from tina_azr.train.calibration.plots import BudgetView, ConfidenceView, draw_calibration
from tina_azr.train.heads.labels import is_calibration
from tina_azr.train.heads.refit import refit_heads

PICTURE = "calibration.png"
CHAIN_ROUNDS = 2
"""Times that all tasks are chained at random: about a tenth of what comes of it is kept from the heads."""

CELLS = 18
"""Modes times strata of the embedded sets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationOptions:
    """The command's flags."""

    model: str | None
    refit: bool
    method: Method
    source: str
    most: int
    samples: int
    heldout: int
    seed: int
    threads: int
    out: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationReport:
    """What came of it."""

    path: Path
    picture: Path
    digest: str
    tasks: int
    sections: Mapping[str, Mapping[str, Mapping[str, Interval]]] = field(default_factory=dict)
    """Set of tasks, then heads before or after calibration, then score."""

    def to_json(self) -> dict[str, Any]:
        return {
            "path": str(self.path),
            "picture": str(self.picture),
            "digest": self.digest,
            "tasks": self.tasks,
            "scores": {
                title: {name: {row: measured(one).model_dump() for row, one in scores.items()} for name, scores in section.items()}
                for title, section in self.sections.items()
            },
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fitted:
    """One form of heads."""

    name: str
    calibration: Calibration
    raw: Predictions
    """What they say of the labels."""
    before: Predictions
    """What they say of the tasks that are shown: the held-out set, or the labels' own."""
    after: Predictions


def calibrate_run(run: RunFolder, options: CalibrationOptions) -> CalibrationReport:
    """Fit, and write what was fitted once all of it is there: heads, if there are new ones, with their calibration.

    Raises ModelError where there are no heads, ScoreError where labels are too few or all alike, RunError while another process writes
    to the run, unless what is fitted goes elsewhere.
    """
    if options.model and options.out is None:
        raise ConfigError("--model is not the run's own policy: say with --out where its heads and calibration go")
    with run.locked() if options.out is None else nullcontext():
        return _calibrate(run, options)


def _calibrate(run: RunFolder, options: CalibrationOptions) -> CalibrationReport:
    config = run.read_config()
    if options.source == "choose" and options.heldout and config.heldout.tasks == "choose":
        raise ConfigError(
            "the run is measured on the set `choose`: with --on choose give --heldout 0, or fit and report would share it"
        )
    torch.set_num_threads(options.threads or torch.get_num_threads())
    policy = load_policy(
        model_folder(options.model or str(run.path)),
        device=config.model.device,
        dtype=config.model.dtype,
        style=prompt_style(config.model),
    )
    heads = {} if options.refit else _heads(policy.folder)
    tokenizer = tokenizer_digest(policy.folder)
    frozen, excluded = load_heldout_sets(_sized(config, options.heldout))
    with _progress() as bar, open_sandbox(config.sandbox) as sandbox:
        with _task(bar, "tasks"):
            held_back, others, title = _split(
                run, config, policy, Validator(sandbox, config.tasks, held_out_keys=excluded), options
            )
        if options.source == "choose":
            chosen = _sized(config, -(-options.most // CELLS)).heldout.model_copy(update={"which": "choose", "path": None})
            held_back = [one.task for one in load_heldout_sets(config.model_copy(update={"heldout": chosen}))[0]]
            title = "the set for choosing settings by"
        held_back = held_back[: options.most]
        _check_enough(len(held_back), options)  # before anything is sampled
        facts: HeadFacts | None = None
        if options.refit:
            if not others:
                raise RunError(
                    f"{run.path} has no task outside introspection.calibration_share: there is nothing to refit heads on"
                )
            with _task(bar, "refit") as advance:
                learner = refit_heads(policy, sandbox, others, config, on_progress=advance)
            heads = learner.heads
            facts = HeadFacts(policy_digest=weights_digest(policy.module), labels=learner.labels, step=0)
        primary = next(iter(heads.values()))

        def graded(tasks: Sequence[Task], what: str, phase: RandomStream) -> list[RolloutGroup]:
            with _task(bar, what) as advance:
                return sample_labels(
                    policy,
                    sandbox,
                    tasks,
                    primary.shape.taps,
                    config,
                    samples=options.samples,
                    seeds=request_seeds(options.seed, 0, phase, len(tasks)),
                    on_progress=advance,
                )

        own = graded(held_back, "label", RandomStream.HEADS)
        held = graded([one.task for one in frozen], "held-out", RandomStream.HELDOUT) if options.heldout else None
    with _ways_out(refitted=options.refit):
        fitted = _fit(policy, tokenizer, heads, own, held, options)
    sections = _sections(fitted, f"{title} (n = {len(own)})", held, options.seed)
    out = options.out or policy.folder
    try:
        _keep(fitted[0], out, heads, facts)
    except OSError as error:
        raise RunError(f"the calibration could not be written to {out}: {error}. What lay there is as it was.") from error
    return CalibrationReport(
        path=out / CALIBRATION,
        picture=out / PICTURE,
        digest=fitted[0].calibration.digest,
        tasks=len(own),
        sections=sections,
    )


def _sized(config: Config, per_cell: int) -> Config:
    return config.model_copy(update={"heldout": config.heldout.model_copy(update={"per_cell": max(1, per_cell)})})


def _check_enough(tasks: int, options: CalibrationOptions) -> None:
    """Raises ScoreError for too few, naming what gives more; the set of --on choose has enough for every method."""
    try:
        check_count(tasks, MIN_LABELS[options.method])
    except ScoreError as error:
        more = "Take more (--tasks N)" if tasks == options.most else "Train the run longer, or use --on choose"
        raise ScoreError(f"{error}. {more}") from error


def _split(
    run: RunFolder, config: Config, policy: Policy, validator: Validator, options: CalibrationOptions
) -> tuple[list[Task], list[Task], str]:
    """Return the tasks kept from the heads, up to half of them chained; the other tasks, likewise; and a title for the first."""
    stored = [one.task for one in list_tasks(run.tasks_file, TaskFilter(), limit=1_000_000)]
    draw = generator(options.seed, 0, RandomStream.CHAINED)
    share = config.introspection.calibration_share
    longest = config.tasks.max_prompt_tokens
    chained = chained_tasks(stored, validator, draw, rounds=CHAIN_ROUNDS)
    long = [t for t in chained if len(solver_prompt(policy, t)) <= longest]  # as in self-play
    back, long_back = ([t for t in tasks if is_calibration(t, share)] for tasks in (stored, long))
    half = min(options.most // 2, len(long_back), len(back))
    kept = back[: options.most - half] + [long_back[number] for number in draw.permutation(len(long_back))[:half]]
    others = [t for t in stored if not is_calibration(t, share)]
    further = [t for t in long if not is_calibration(t, share)]
    others += [further[number] for number in draw.permutation(len(further))[: len(others) // 2]]
    return kept, others, f"unseen tasks of the run, {half} of them chained"


def _heads(folder: Path) -> dict[str, AnyHeads]:
    """By form: those that act, then those that were trained beside them."""
    primary = load_heads(folder)
    if primary is None:
        raise ModelError(f"there are no heads in {folder}: train a run with a form in introspection.heads, or give --refit")
    others = [load_heads(folder, name) for name in head_names(folder)]
    return {one.heads.shape.kind: one.heads for one in [primary, *(other for other in others if other is not None)]}


def _fit(
    policy: Policy,
    tokenizer: str,
    heads: Mapping[str, AnyHeads],
    own: Sequence[RolloutGroup],
    held: Sequence[RolloutGroup] | None,
    options: CalibrationOptions,
) -> list[_Fitted]:
    """Return the results of each form of heads, the primary one first."""
    found = []
    for name, one in heads.items():
        raw = predictions_of(Introspector(one), own)
        calibration = fit_calibration(
            raw,
            method=options.method,
            digests=Digests(policy=weights_digest(policy.module), heads=weights_digest(one), tokenizer=tokenizer),
            today=datetime.now(UTC).date(),
            seed=options.seed,
        )
        if held is None:  # then the labels are all there is to show
            before, after = raw, cross_fitted(raw, calibration, method=options.method, seed=options.seed)
        else:
            before, after = (predictions_of(Introspector(one, fitted), held) for fitted in (None, calibration))
        found.append(_Fitted(name=name, calibration=calibration, raw=raw, before=before, after=after))
    return found


def _sections(
    fitted: Sequence[_Fitted], title: str, held: Sequence[RolloutGroup] | None, seed: int
) -> dict[str, dict[str, dict[str, Interval]]]:
    sections = {title: {one.name: scores_of(one.raw, seed=seed) for one in fitted}}
    if held is not None:
        before = f"held-out set, before calibration (n = {len(held)})"
        sections[before] = {one.name: scores_of(one.before, seed=seed) for one in fitted}
        sections["held-out set, calibrated"] = {one.name: scores_of(one.after, seed=seed) for one in fitted}
    return sections


def _keep(fitted: _Fitted, out: Path, heads: Mapping[str, AnyHeads], facts: HeadFacts | None) -> None:
    """Calibration, picture and, with `facts`, the heads. They are put in place once all are written: a full disk spoils no checkpoint."""
    out.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=out, prefix=".calibration-") as folder:
        beside = Path(folder)
        if facts is not None:
            save_all_heads(heads, facts, beside)
        fitted.calibration.save(beside / CALIBRATION)
        _draw(fitted, beside / PICTURE)
        for file in sorted(beside.iterdir()):
            file.replace(out / file.name)
        if facts is not None:
            renew_heads_in_manifest(out)


def _draw(fitted: _Fitted, path: Path) -> None:
    before, after = fitted.before, fitted.after
    draw_calibration(
        path,
        title=f"calibration {fitted.calibration.digest}",
        c0=_view(before, after, "c0"),
        cE=_view(before, after, "cE"),
        budget=BudgetView(before=before.forecasts, after=after.forecasts, used_N=before.used_N, group_N=before.used_group_N),
    )


def _view(before: Predictions, after: Predictions, which: str) -> ConfidenceView:
    first, second = (before.c0, after.c0) if which == "c0" else (before.cE, after.cE)
    return ConfidenceView(before_N=first.p_N, after_N=second.p_N, y_N=first.y_N, group_N=first.group_N)


@contextmanager
def _ways_out(*, refitted: bool) -> Iterator[None]:
    """Name the flags that may help where a fit fails: the library that says why knows of none."""
    try:
        yield
    except ScoreError as error:
        refit = "" if refitted else "heads trained once more (--refit), "
        raise ScoreError(f"{error}. What may help: more labels (--tasks N, --samples N), {refit}or a longer run") from error


@contextmanager
def _progress() -> Iterator[Progress]:
    columns = (TextColumn("{task.description:>9}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    # Nowhere but at a terminal can a bar be taken back: it would leave an empty line in a log.
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        yield bar


@contextmanager
def _task(bar: Progress, what: str) -> Iterator[Any]:
    task = bar.add_task(what, total=None)
    yield lambda done, total: bar.update(task, completed=done, total=total)
    bar.update(task, visible=False)
