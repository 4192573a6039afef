"""The pictures of a run, from its CSV alone."""

import csv
import math
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

_PANELS = (
    ("loss, nats a byte", ("loss", "held_out"), False),
    ("learning rate", ("learning_rate/matrices",), False),
    ("gradient norm", ("grad_norm",), True),
    ("update over weight", ("update_ratio",), True),
)
_LABELS = {"loss": "training", "held_out": "held out, averaged weights"}
_COLORS = ("#0072b2", "#d55e00")


def draw(folder: Path) -> Path:
    """Draw `metrics.csv` of a folder, and return where the picture is."""
    rows = list(csv.DictReader((folder / "metrics.csv").read_text().splitlines()))
    figure = Figure(figsize=(10.0, 5.6), layout="constrained")
    for axes, (label, names, log) in zip(figure.subplots(2, 2).flat, _PANELS, strict=True):
        for name, color in zip(names, _COLORS, strict=False):
            points = [(int(row["step"]), float(row[name])) for row in rows if row[name]]
            steps, values = np.array(points).T
            axes.plot(steps, values, color=color, label=_LABELS.get(name), linewidth=1.6)
        axes.set_title(label, fontsize=10, loc="left")
        if log:
            axes.set_yscale("log")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color="#e6e6e6", linewidth=0.8)
    loss, *others = figure.axes
    even = {"color": "#9a9a9a", "linewidth": 1.0, "linestyle": (0, (1.2, 1.6))}
    loss.axhline(math.log(128), label="all bytes alike", **even)
    loss.legend(frameon=False, fontsize=9)
    for axes in others[1:]:
        axes.set_xlabel("step", fontsize=10)
    figure.suptitle("A small GPT on the standard library's source", fontsize=11)
    path = folder / "training.png"
    figure.savefig(path, dpi=120)
    return path
