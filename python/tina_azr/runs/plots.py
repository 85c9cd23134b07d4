"""`plots/*.png`: the curves of one run, drawn at its end. Held-out accuracy is the curve; training accuracy appears nowhere.

Figures are made without pyplot: no global state, no window system, the Agg canvas.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, PercentFormatter
from matplotlib.typing import ColorType

from tina_azr.formatting import counted, rate
from tina_azr.runs.comparison import pool
from tina_azr.runs.folder import RunFolder
from tina_azr.runs.metrics import PHASES, HeldoutCell, HeldoutMetrics, StepMetrics
from tina_azr.runs.metrics_file import History
from tina_azr.runs.plot_style import COLORS, STYLE
from tina_azr.tasks.types import IN_DISTRIBUTION

_PHASES = ("#2f6fb5", "#7fb0dd", "#d9812b", "#efbf85", "#c9b458", "#e3d9a0", "#3f9a5f", "#8fc7a1", "#8c5fb0", "#b9b9b9")
_REASONS = ("#b0485a", "#d9812b", "#e5b93c", "#3f9a5f", "#2f6fb5", "#8c5fb0", "#7a7a7a", "#b9b9b9")

Drawer = Callable[[Axes, History], None]


def draw_plots(run: RunFolder, history: History) -> list[Path]:
    """Draw every plot that the history has data for; returns the files."""
    figures: dict[str, tuple[Drawer, ...]] = {}
    if history.heldouts:
        figures["heldout"] = (_heldout, _strata)
        figures["modes"] = (_modes, _thinking)
    if history.steps:
        figures["rewards"] = (_rewards("solver"), _rewards("proposer"))
        figures["proposals"] = (_proposals, _rejects)
        figures["time"] = (_phases, _rates)
    if any(step.introspection for step in history.steps):
        figures["introspection"] = (_confidence, _discrimination, _budget, _coverage)
    if history.heldouts and history.steps:
        figures["overview"] = (_heldout, _modes, _thinking, _proposals)
    drawn: list[Path] = []
    with mpl.rc_context(STYLE), run.writing("plots"):
        run.plots.mkdir(exist_ok=True)
        for name, drawers in figures.items():
            path = run.plots / f"{name}.png"
            _figure(run.name, drawers, history).savefig(path)
            drawn.append(path)
    return drawn


def _figure(title: str, drawers: Sequence[Drawer], history: History) -> Figure:
    rows = (len(drawers) + 1) // 2
    figure = Figure(figsize=(10, 0.4 + 3.6 * rows), layout=ConstrainedLayoutEngine(h_pad=0.08, w_pad=0.08))
    figure.suptitle(title, x=0.01, ha="left", color="#888888", fontsize=8)
    axes = figure.subplots(rows, 2, squeeze=False)
    for axis, draw in zip(axes.flat, drawers, strict=True):
        draw(axis, history)
    return figure


def _heldout(axis: Axes, history: History) -> None:
    in_distribution = [m.in_distribution for m in history.heldouts]
    _band(axis, history.heldouts, in_distribution, greedy=False, color=COLORS[0], label="steps 1-3, temperature 1")
    _band(axis, history.heldouts, in_distribution, greedy=True, color=COLORS[2], label="steps 1-3, greedy")
    longer = [[cell for stratum, cell in m.by_stratum.items() if stratum not in IN_DISTRIBUTION] for m in history.heldouts]
    if all(longer):
        _band(axis, history.heldouts, list(map(pool, longer)), greedy=False, color=COLORS[1], label="longer, temperature 1")
    _percent(axis, "Held-out accuracy (band: 1 standard error)")


def _strata(axis: Axes, history: History) -> None:
    strata = sorted({stratum for m in history.heldouts for stratum in m.by_stratum})
    colors = mpl.colormaps["viridis"](np.linspace(0.0, 0.85, max(len(strata), 1)))
    for stratum, color in zip(strata, colors, strict=True):
        points = [m for m in history.heldouts if stratum in m.by_stratum]
        label = counted(stratum, "step")
        _band(axis, points, [m.by_stratum[stratum] for m in points], greedy=False, color=color, label=label)
    _percent(axis, "By length of the program, temperature 1")


def _modes(axis: Axes, history: History) -> None:
    for mode, color in _mode_colors(history):
        points = [m for m in history.heldouts if mode in m.by_mode]
        _band(axis, points, [m.by_mode[mode] for m in points], greedy=False, color=color, label=mode)
        greedy = [m.by_mode[mode].accuracy_greedy for m in points]
        axis.plot(_minutes(points), [np.nan if g is None else 100 * g for g in greedy], color=color, ls=":", lw=1.2)
    _percent(axis, "By mode, steps 1-3 (dotted: greedy)")


def _thinking(axis: Axes, history: History) -> None:
    for mode, color in _mode_colors(history):
        points = [m for m in history.heldouts if mode in m.by_mode]
        axis.plot(_minutes(points), [m.by_mode[mode].think_tokens for m in points], color=color, marker="o", ms=3, label=mode)
        values = [s.think_tokens.get("solver", {}).get(mode, np.nan) for s in history.steps]
        axis.plot(_minutes(history.steps), _smooth(values), color=color, lw=1, alpha=0.45)
    axis.set_ylim(bottom=0)
    _finish(axis, "Think tokens (dots: held-out, thin: own tasks)")


def _rewards(role: str) -> Drawer:
    def draw(axis: Axes, history: History) -> None:
        for mode, color in _mode_colors(history):
            values = [s.reward.get(role, {}).get(mode, np.nan) for s in history.steps]
            axis.plot(_minutes(history.steps), values, color=color, lw=0.7, alpha=0.3)
            axis.plot(_minutes(history.steps), _smooth(values), color=color, label=mode)
        axis.axhline(0, color="#888888", lw=0.8)
        _finish(axis, f"Mean reward of the {role}")

    return draw


def _proposals(axis: Axes, history: History) -> None:
    minutes = _minutes(history.steps)
    rows = (
        ("valid proposals", [s.valid_rate for s in history.steps], COLORS[0]),
        ("new among the valid", [s.distinct_rate for s in history.steps], COLORS[2]),
        ("own tasks solved", [np.nan if s.pass_rate is None else s.pass_rate for s in history.steps], COLORS[1]),
    )
    for label, values, color in rows:
        percent = [100 * value for value in values]
        axis.plot(minutes, percent, color=color, lw=0.7, alpha=0.3)
        axis.plot(minutes, _smooth(percent), color=color, label=label)
    _percent(axis, "Proposals")


def _rejects(axis: Axes, history: History) -> None:
    totals: dict[str, int] = {}
    for step in history.steps:
        for reason, count in step.rejects.items():
            totals[reason] = totals.get(reason, 0) + count
    reasons = sorted((reason for reason in totals if totals[reason]), key=lambda reason: -totals[reason])[: len(_REASONS)]
    if reasons:
        counts = [[100 * s.rejects.get(reason, 0) / max(s.proposals, 1) for s in history.steps] for reason in reasons]
        axis.stackplot(_minutes(history.steps), [_smooth(c) for c in counts], labels=reasons, colors=_REASONS, lw=0)
    axis.set_ylim(bottom=0)
    axis.yaxis.set_major_formatter(PercentFormatter(decimals=0))
    _finish(axis, "Turned down, by reason (share of proposals)", beside=True)


def _phases(axis: Axes, history: History) -> None:
    phases = [phase for phase in PHASES if any(s.seconds_by_phase.get(phase) for s in history.steps)]
    seconds = [[s.seconds_by_phase.get(phase, 0.0) for s in history.steps] for phase in phases]
    if seconds:
        colors = [dict(zip(PHASES, _PHASES, strict=True))[phase] for phase in phases]
        axis.stackplot(_minutes(history.steps), seconds, labels=phases, colors=colors, lw=0)
    axis.set_ylim(bottom=0)
    _finish(axis, "Seconds of a step, by phase", beside=True)


def _rates(axis: Axes, history: History) -> None:
    minutes = _minutes(history.steps)
    axis.plot(minutes, [s.tokens_per_second for s in history.steps], color=COLORS[0], label="tokens sampled a second")
    axis.plot(minutes, [s.programs_per_second for s in history.steps], color=COLORS[1], label="sandbox programs a second")
    axis.set_yscale("log")
    low, high = axis.get_ylim()
    axis.set_ylim(10 ** np.floor(np.log10(low)), 10 ** np.ceil(np.log10(high)))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: rate(value)))
    _finish(axis, "Rates")


def _forecast_lines(axis: Axes, history: History, rows: Sequence[tuple[str, str, str]], *, scale: float = 1.0) -> None:
    """Names in the steps' introspection, labels and colours."""
    for name, label, color in rows:
        found = [(step.introspection or {}).get(name) for step in history.steps]
        values = [np.nan if value is None else scale * value for value in found]
        axis.plot(_minutes(history.steps), values, color=color, lw=0.7, alpha=0.3)
        axis.plot(_minutes(history.steps), _smooth(values, 9), color=color, label=label)


def _confidence(axis: Axes, history: History) -> None:
    rows = (
        ("accuracy", "rollouts that are right", COLORS[3]),
        ("c0", "forecast before thinking (c0)", COLORS[0]),
        ("cE", "forecast after thinking (cE)", COLORS[1]),
    )
    _forecast_lines(axis, history, rows, scale=100)
    _percent(axis, "Confidence and outcome, own tasks")


def _discrimination(axis: Axes, history: History) -> None:
    _forecast_lines(axis, history, (("c0_auroc", "c0", COLORS[0]), ("cE_auroc", "cE", COLORS[1])))
    axis.axhline(0.5, color="#888888", lw=0.8, ls="--")
    axis.set_ylim(0.3, 1.0)
    _finish(axis, "AUROC of a step's forecasts (dashed: chance)")


def _budget(axis: Axes, history: History) -> None:
    rows = (("used", "used by right answers", COLORS[3]), ("budget", "forecast: 80 % are shorter", COLORS[0]))
    _forecast_lines(axis, history, rows)
    axis.set_ylim(bottom=0)
    _finish(axis, "Think tokens")


def _coverage(axis: Axes, history: History) -> None:
    for percent, color in zip((50, 80, 95), COLORS, strict=False):
        _forecast_lines(axis, history, ((f"coverage_{percent}", f"{percent} %", color),), scale=100)
        axis.axhline(percent, color=color, lw=0.8, ls="--")
    _percent(axis, "Coverage of budget quantiles (dashed: promised)")


def _band(
    axis: Axes, points: Sequence[HeldoutMetrics], cells: Sequence[HeldoutCell], *, greedy: bool, color: ColorType, label: str
) -> None:
    pairs = [(c.accuracy_greedy, c.stderr_greedy) if greedy else (c.accuracy, c.stderr) for c in cells]
    if all(value is None for value, _ in pairs):
        return
    middle = np.array([np.nan if value is None else 100 * value for value, _ in pairs])
    around = np.array([0.0 if stderr is None else 100 * stderr for _, stderr in pairs])
    minutes = _minutes(points)
    axis.fill_between(minutes, middle - around, middle + around, color=color, alpha=0.18, lw=0)
    axis.plot(minutes, middle, color=color, marker="o", ms=3, label=label)


def _mode_colors(history: History) -> list[tuple[str, str]]:
    names = dict.fromkeys(mode for m in history.heldouts for mode in m.by_mode)
    names |= dict.fromkeys(mode for s in history.steps for by_mode in s.reward.values() for mode in by_mode)
    return [(mode, COLORS[i % len(COLORS)]) for i, mode in enumerate(names)]


def _minutes(points: Sequence[StepMetrics] | Sequence[HeldoutMetrics]) -> list[float]:
    return [point.seconds / 60 for point in points]


def _smooth(values: Sequence[float], window: int = 5) -> list[float]:
    # Centred mean that leaves gaps out; the raw line is drawn faintly behind it.
    half = window // 2
    means = []
    for i in range(len(values)):
        near = [v for v in values[max(0, i - half) : i + half + 1] if not np.isnan(v)]
        means.append(sum(near) / len(near) if near else float("nan"))
    return means


def _percent(axis: Axes, title: str) -> None:
    axis.set_ylim(0, 100)
    axis.yaxis.set_major_formatter(PercentFormatter(decimals=0))
    _finish(axis, title)


def _finish(axis: Axes, title: str, *, beside: bool = False) -> None:
    axis.set_title(title)
    axis.set_xlabel("minutes of training")
    axis.margins(x=0.01)
    handles, labels = axis.get_legend_handles_labels()
    if handles and beside:  # a stack fills its panel, and reads from the top down
        axis.legend(handles[::-1], labels[::-1], loc="upper left", bbox_to_anchor=(1.0, 1.0))
    elif handles:
        axis.legend()
