"""The report of a run, from its CSV alone: figures as the demo has them, in a page like its."""

import csv
import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from demo_parts import report

from gradtx import plot


class _Figure(NamedTuple):
    """A figure of the report."""

    name: str
    heading: str
    text: str  # what one should see
    axis: str
    columns: dict[str, str]  # from the name of a curve to its column in the CSV
    log: bool = False


_FIGURES = (
    _Figure(
        "loss",
        "Loss",
        "The training loss is the mean over the steps from one row to the next; if all bytes were "
        "alike it would be {even:.2f} nats. That on files which were held out is of the averaged "
        "weights.",
        "loss, nats a byte",
        {"training": "loss", "held out, averaged weights": "held_out"},
    ),
    _Figure(
        "rate",
        "Learning rate",
        "Warm-up, a constant rate, and a fall to zero in the last quarter, in which the loss falls "
        "once more.",
        "learning rate",
        {"training": "learning_rate/matrices"},
    ),
    _Figure(
        "gradient",
        "Gradient norm",
        "Of the mean of the micro-batches of a step, before it is clipped to 1. A guard leaves out "
        "what is far above the others.",
        "gradient norm",
        {"training": "grad_norm"},
        log=True,
    ),
    _Figure(
        "ratio",
        "Update over weight",
        "How far a step goes, as a share of the weights' norm: it follows the rate.",
        "norm of the update / norm of the weights",
        {"training": "update_ratio"},
        log=True,
    ),
)


def write(folder: Path, about: dict[str, Any]) -> Path:
    """Draw `metrics.csv` of a folder, and return where the page is."""
    rows = list(csv.DictReader((folder / "metrics.csv").read_text().splitlines()))
    album = report.Album(folder / "figures", dpi=120)
    page = folder / "report.html"
    report.write(
        page,
        title="A small GPT on the standard library's source",
        lead="One run of examples/gpt.py, from its metrics.csv.",
        sections=[_section(album, rows, figure) for figure in _FIGURES],
        about=report.machine() | about,
    )
    return page


def _section(album: report.Album, rows: list[dict[str, str]], figure: _Figure) -> report.Section:
    curves, steps = {}, {}
    for name, column in figure.columns.items():
        points = [(int(row["step"]), float(row[column])) for row in rows if row[column]]
        steps[name], curves[name] = np.array(points).T
    log = (figure.axis,) if figure.log else ()
    drawn = plot.history({figure.axis: curves}, steps=steps, log=log)
    picture = album.picture(figure.name, drawn, f"{figure.heading} against step")
    text = figure.text.format(even=math.log(128))
    return report.Section(figure.name, figure.heading, (text,), picture)
