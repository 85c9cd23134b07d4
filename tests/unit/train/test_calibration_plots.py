"""The picture of a calibration shows what was measured."""

from pathlib import Path

import matplotlib as mpl
import matplotlib.image
import numpy as np
import pytest
from matplotlib.axes import Axes

from tina_azr.train.calibration.plots import BudgetView, ConfidenceView, calibration_figure, draw_calibration


def view(after: float) -> ConfidenceView:
    # Half of 60 tasks are always solved and claimed at .9, half never and claimed at `after`.
    solved = np.repeat([1.0, 0.0], 60)
    return ConfidenceView(
        before_N=np.where(solved == 1, 1.0, 0.4), after_N=np.where(solved == 1, 0.9, after), y_N=solved, group_N=np.arange(120) // 2
    )


def budget() -> BudgetView:
    used = np.arange(1.0, 101)
    return BudgetView(
        before={0.5: np.full(100, 25.0), 0.95: np.full(100, 60.0)},
        after={0.5: np.full(100, 50.0), 0.95: np.full(100, 95.0)},
        used_N=used,
        group_N=np.arange(100),
    )


def panels() -> list[Axes]:
    return calibration_figure(title="a run", c0=view(0.2), cE=view(0.1), budget=budget()).axes


def test_reliability_is_drawn_before_and_after() -> None:
    c0, c_end = panels()[:2]
    lines = {str(line.get_label()).partition(":")[0]: line for line in c0.get_lines()}
    assert lines["before"].get_xydata() == pytest.approx(np.array([[0.4, 0.0], [1.0, 1.0]]))
    assert lines["after"].get_xydata() == pytest.approx(np.array([[0.2, 0.0], [0.9, 1.0]]))
    assert lines["before"].get_label() == "before: ECE 0.200, AUROC 1.000"
    assert any(line.get_label() == "after: ECE 0.100, AUROC 1.000" for line in c_end.get_lines())


def test_coverage_bars_stand_beside_what_is_promised() -> None:
    axis = panels()[3]
    heights = [bar.get_height() for container in axis.containers if hasattr(container, "patches") for bar in container.patches]
    assert heights == pytest.approx([0.25, 0.6, 0.5, 0.95])
    promised = [line.get_ydata()[0] for line in axis.get_lines() if len(line.get_ydata()) == 2 and line.get_linestyle() == "--"]
    assert promised == pytest.approx([0.5, 0.95])


def test_every_correct_thought_is_a_point() -> None:
    points = panels()[2].collections[0].get_offsets()
    assert np.asarray(points) == pytest.approx(np.stack([np.full(100, 50.0), np.arange(1.0, 101)], axis=1))


def test_the_file_is_a_picture_and_nothing_global_changes(tmp_path: Path) -> None:
    settings = dict(mpl.rcParams)
    path = draw_calibration(tmp_path / "c.png", title="a run", c0=view(0.2), cE=view(0.1), budget=budget())
    picture = matplotlib.image.imread(path)
    assert picture.shape[:2] == (1204, 1400)
    assert picture.std() > 0.05
    assert dict(mpl.rcParams) == settings
