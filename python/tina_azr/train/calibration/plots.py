"""Plot of a calibration: forecasts against outcomes, before and after. Axis: `_N` labels.

Made without pyplot: no global state, no window system, the Agg canvas.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, PercentFormatter
from numpy.typing import NDArray

from tina_azr.introspection.scores import Interval, auroc, bin_numbers, ece, interval, quantile_coverage, spearman
from tina_azr.runs.plot_style import COLORS, STYLE

Floats: TypeAlias = NDArray[np.float64]
Groups: TypeAlias = NDArray[np.int64] | NDArray[np.str_]

_BEFORE, _AFTER, _INK = "#a8a8a8", COLORS[0], "#444444"
_TAIL = (COLORS[0], COLORS[1], COLORS[4])
_CURVE_BINS = 10
_DRAWS = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfidenceView:
    """One confidence on held-out labels."""

    before_N: Floats
    after_N: Floats
    """Calibrated without the label's own task."""
    y_N: Floats
    group_N: Groups
    """Tasks: the band draws them whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetView:
    """Budget forecasts of correct rollouts."""

    before: Mapping[float, Floats]
    """Think tokens by quantile, as the head says."""
    after: Mapping[float, Floats]
    """The same, corrected."""
    used_N: Floats
    """Think tokens that were used."""
    group_N: Groups


def draw_calibration(path: Path, *, title: str, c0: ConfidenceView, cE: ConfidenceView, budget: BudgetView, seed: int = 0) -> Path:
    """Write one PNG: reliability of both confidences, forecast against used think tokens, and coverage of the quantiles."""
    with mpl.rc_context(STYLE):
        calibration_figure(title=title, c0=c0, cE=cE, budget=budget, seed=seed).savefig(path)
    return path


def calibration_figure(*, title: str, c0: ConfidenceView, cE: ConfidenceView, budget: BudgetView, seed: int = 0) -> Figure:
    """The figure itself, in whatever style is set."""
    figure = Figure(figsize=(10, 8.6), layout=ConstrainedLayoutEngine(h_pad=0.09, w_pad=0.09))
    figure.suptitle(title, x=0.01, ha="left", color="#888888", fontsize=8)
    axes = figure.subplots(2, 2)
    _reliability(axes[0, 0], c0, "Confidence before thinking (c0)", seed)
    _reliability(axes[0, 1], cE, "Confidence after thinking (cE)", seed)
    _budget(axes[1, 0], budget)
    _coverage(axes[1, 1], budget, seed)
    return figure


def _reliability(axis: Axes, view: ConfidenceView, title: str, seed: int) -> None:
    axis.plot([0, 1], [0, 1], color=_INK, lw=0.9, ls=(0, (4, 3)), zorder=1)
    for p_N, color, name in ((view.before_N, _BEFORE, "before"), (view.after_N, _AFTER, "after")):
        forecast, outcome = _curve(p_N, view, seed)
        label = f"{name}: ECE {ece(p_N, view.y_N):.3f}, AUROC {auroc(p_N, view.y_N):.3f}"
        if color == _AFTER:
            low, high = [o.low for o in outcome], [o.high for o in outcome]
            axis.fill_between(forecast, low, high, color=color, alpha=0.18, lw=0)
        axis.plot(forecast, [o.value for o in outcome], color=color, marker="o", ms=4, clip_on=False, zorder=3, label=label)
    # Low bars along the foot show how often each confidence is predicted: a calibrated head that is always equally sure is of no use.
    share, edges = np.histogram(view.after_N, bins=25, range=(0, 1))
    axis.bar(edges[:-1], 0.16 * share / share.max(), width=0.04, align="edge", color=_AFTER, alpha=0.22, lw=0, zorder=0)
    axis.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence", ylabel="share correct")
    axis.set_aspect("equal", adjustable="box")
    for side in (axis.xaxis, axis.yaxis):
        side.set_major_formatter(PercentFormatter(xmax=1, decimals=0))
    axis.set_title(title)
    axis.legend(loc="upper left")


def _curve(p_N: Floats, view: ConfidenceView, seed: int) -> tuple[list[float], list[Interval]]:
    """Mean confidence of each bin of equal mass, and its share correct with a bootstrap interval."""
    bin_N = bin_numbers(p_N, bins=_CURVE_BINS)
    inside = [bin_N == number for number in np.unique(bin_N)]
    outcome = [interval(_mean, [view.y_N[held]], seed=seed, draws=_DRAWS, groups=view.group_N[held]) for held in inside]
    return [_mean(p_N[held]) for held in inside], outcome


def _mean(values_N: Floats) -> float:
    return float(np.mean(values_N))


def _budget(axis: Axes, view: BudgetView) -> None:
    quantiles = sorted(view.after)
    middle_N = np.maximum(view.after[quantiles[0]], 1)
    axis.scatter(middle_N, np.maximum(view.used_N, 1), s=9, color=_INK, alpha=0.28, lw=0, rasterized=True)
    # Upper quantiles are no function of the lowest: lines through bins, or they would be thickets.
    bin_N = bin_numbers(middle_N, bins=_CURVE_BINS)
    inside = [bin_N == number for number in np.unique(bin_N)]
    for quantile, color in zip(quantiles, _TAIL, strict=False):
        tokens_N = np.maximum(view.after[quantile], 1)
        points = [(_geometric_mean(middle_N[held]), _geometric_mean(tokens_N[held])) for held in inside]
        axis.plot(*zip(*points, strict=True), color=color, marker="o", ms=3.5, label=f"{_percent(quantile)} are shorter")
    axis.set_xscale("log")
    axis.set_yscale("log")
    for side in (axis.xaxis, axis.yaxis):
        side.set_major_locator(LogLocator(subs=(1, 2, 5)))
        side.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        side.set_minor_formatter(NullFormatter())
    axis.set_xlabel(f"forecast at {_percent(quantiles[0])} (think tokens)")
    axis.set_ylabel("used (think tokens)")
    axis.set_title(f"Think tokens of correct answers (Spearman {spearman(middle_N, view.used_N):.2f})")
    axis.legend(loc="upper left", title="corrected forecast", title_fontsize=8, alignment="left")


def _geometric_mean(values_N: Floats) -> float:
    return float(np.exp(np.mean(np.log(values_N))))


def _coverage(axis: Axes, view: BudgetView, seed: int) -> None:
    quantiles = sorted(view.after)
    place_Q = np.arange(len(quantiles))
    for shift, forecasts, color, name in ((-0.2, view.before, _BEFORE, "before"), (0.2, view.after, _AFTER, "after")):
        found = [
            interval(quantile_coverage, [forecasts[q], view.used_N], seed=seed, draws=_DRAWS, groups=view.group_N)
            for q in quantiles
        ]
        height = np.array([f.value for f in found])
        around = np.array([[f.value - f.low, f.high - f.value] for f in found]).T
        axis.bar(place_Q + shift, height, width=0.36, color=color, label=name)
        axis.errorbar(place_Q + shift, height, yerr=around, fmt="none", ecolor=_INK, elinewidth=1.1, capsize=3)
        for x, f in zip(place_Q + shift, found, strict=True):
            axis.text(x, 0.02, f"{100 * f.value:.1f}", ha="center", va="bottom", color="white", fontsize=8, fontweight="bold")
    for place, quantile in zip(place_Q, quantiles, strict=True):
        axis.plot([place - 0.44, place + 0.44], [quantile, quantile], color=_INK, lw=1.4, ls=(0, (4, 3)))
    axis.plot([], [], color=_INK, lw=1.4, ls=(0, (4, 3)), label="promised")
    axis.set_xticks(place_Q, [_percent(q) for q in quantiles])
    axis.set(ylim=(0, 1.12), yticks=np.linspace(0, 1, 6), xlabel="quantile", ylabel="share of correct rollouts within the forecast")
    axis.yaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=0))
    axis.grid(visible=False, axis="x")
    axis.set_title("Coverage of budget quantiles (95% intervals)")
    axis.legend(loc="upper left", ncols=3)


def _percent(quantile: float) -> str:
    return f"{100 * quantile:g}%"
