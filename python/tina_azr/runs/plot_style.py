"""How every figure looks."""

from typing import Any

STYLE: Any = {  # Any: matplotlib types the keys as 300 literals
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#888888",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.8,
    "lines.linewidth": 1.8,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "xtick.color": "#555555",
    "ytick.color": "#555555",
    "savefig.dpi": 140,
}
"""Matplotlib settings, for `matplotlib.rc_context`."""

COLORS = ("#2f6fb5", "#d9812b", "#3f9a5f", "#8c5fb0", "#b0485a")
"""Told apart with the common forms of colour blindness too."""
