"""Curves against the step: learning-rate schedules, and metrics of several optimizers."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from ._style import LineStyle, line_styles

_BACKGROUND = "#c9c9c9"


def schedules(
    schedules: Mapping[str, Callable[[Any], Any] | float],
    steps: int,
    *,
    columns: int = 4,
    ylabel: str = "learning rate",
    title: str = "",
) -> Figure:
    """Draw schedules against the step, one panel each, all on the same axes.

    Args:
        schedules: From a name to a schedule: a function of the step 0, 1, ..., or a constant.
        steps: Number of steps to draw, at least 2.
        columns: Panels in a row, at least 1.
        ylabel: What the value means.
        title: A title for the figure.

    Raises:
        ValueError: If there is no schedule, or `steps` is below 2.
    """
    if not schedules or steps < 2:
        raise ValueError(
            "`schedules` must hold at least one schedule and `steps` be at least 2, "
            f"but there are {len(schedules)} schedules and {steps} steps."
        )
    rows = math.ceil(len(schedules) / columns)
    figure = Figure(figsize=(3.0 * columns, 2.1 * rows + 0.4), layout="constrained")
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    step = jnp.arange(steps)
    for axes, (name, schedule) in zip(grid.flat, schedules.items(), strict=False):
        values = np.asarray(jax.jit(jax.vmap(schedule))(step) if callable(schedule) else schedule)
        values = np.broadcast_to(values, (steps,))
        axes.plot(step, values, color="#0072b2")
        axes.fill_between(step, 0.0, values, color="#0072b2", alpha=0.12, linewidth=0)
        axes.set_title(name, fontsize=9, loc="left")
        _tidy(axes)
    for axes in grid.flat[len(schedules) :]:
        axes.remove()
    for column in range(columns):
        shown = [axes for axes in grid[:, column] if axes.figure is not None]
        if shown:  # the lowest panel of a column carries the numbers, also in a short last row
            shown[-1].tick_params(labelbottom=True)
    figure.supxlabel("step", fontsize=10)
    figure.supylabel(ylabel, fontsize=10)
    figure.suptitle(title)
    return figure


def history(
    metrics: Mapping[str, Mapping[str, ArrayLike]],
    *,
    steps: ArrayLike | Mapping[str, ArrayLike] | None = None,
    groups: Mapping[str, Sequence[str]] | None = None,
    log: Collection[str] = (),
    limits: Mapping[str, tuple[float | None, float | None]] | None = None,
    marks: Mapping[str, float] | None = None,
    xlabel: str = "step",
    log_x: bool = False,
    title: str = "",
    styles: Mapping[str, LineStyle] | None = None,
) -> Figure:
    """Draw metrics of several optimizers against the step: a row a metric, a column a group.

    Every column shows all curves of its metric, those of the group in colour and the others in
    grey behind, so that a dozen optimizers stay readable. A curve given with repetitions is drawn
    as their mean, with a band from the smallest to the largest.

    Shapes: a curve has shape `(points,)` or `(repetitions, points)`.

    Args:
        metrics: From the metric's name (the label of its axis) to the curves by optimizer.
        steps: Where the points lie: one array for all curves or one per optimizer; by default
            0, 1, 2, ...
        groups: From a group's name to its optimizers; by default one group of all.
        log: The metrics whose axis is logarithmic.
        limits: The lower and upper end of a metric's axis, each `None` for automatic.
        marks: Per optimizer a place on the x axis to mark on its curve with a dot.
        xlabel: What the x axis means.
        log_x: Whether the x axis is logarithmic.
        title: A title for the figure.
        styles: Line styles by optimizer; by default `line_styles` of all names.

    Raises:
        ValueError: If there is nothing to draw, or a group names an optimizer without a curve.
    """
    names = list(dict.fromkeys(name for curves in metrics.values() for name in curves))
    if not names:
        raise ValueError("`metrics` must hold at least one curve, but is empty.")
    groups = groups or {"": names}
    unknown = [name for members in groups.values() for name in members if name not in names]
    if unknown:
        raise ValueError(f"`groups` must name curves of `metrics`, but {unknown} are not there.")
    styles = styles or line_styles(names)
    shape = len(metrics), len(groups)
    size = (max(4.2 * shape[1], 7.0), 2.6 * shape[0] + 1.0) if shape[1] > 1 else (8.5, 4.8)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(*shape, sharex=True, sharey="row", squeeze=False)

    for row, (metric, curves) in zip(grid, metrics.items(), strict=True):
        for axes, members in zip(row, groups.values(), strict=True):
            for name in sorted(curves, key=lambda name: name in members):
                x, y = _points(name, curves[name], steps)
                _curve(axes, name, x, y, styles[name] if name in members else None)
                if name in members and marks and name in marks:
                    _mark(axes, x, y.mean(axis=0), marks[name], styles[name])
            if metric in log:
                axes.set_yscale("log")
            if limits and metric in limits:
                axes.set_ylim(*limits[metric])
            _tidy(axes)
        row[0].set_ylabel(metric)
    for axes, group in zip(grid[0], groups, strict=True):
        _legend(figure if len(groups) == 1 else axes, axes, group)
    for axes in grid[-1]:
        axes.set_xlabel(xlabel)
        if log_x:
            axes.set_xscale("log")
    figure.suptitle(title)
    return figure


def _points(name, curve, steps) -> tuple[np.ndarray, np.ndarray]:
    """The x of a curve, and its values with shape (repetitions, points)."""
    y = np.atleast_2d(np.asarray(curve, dtype=float))
    x = steps[name] if isinstance(steps, Mapping) else steps
    x = np.arange(y.shape[1]) if x is None else np.asarray(x, dtype=float)
    if x.shape != y.shape[1:]:
        raise ValueError(
            f"`steps` must have one value for each point, but the curve of {name!r} has "
            f"{y.shape[1]} points and its steps have shape {x.shape}."
        )
    return x, y


def _curve(axes: Axes, name: str, x, y, style: LineStyle | None) -> None:
    mean = y.mean(axis=0)
    if style is None:
        axes.plot(x, mean, color=_BACKGROUND, linewidth=0.8, zorder=1)
        return
    axes.plot(x, mean, label=name, linewidth=1.6, zorder=3, **style.line())
    if len(y) > 1:
        low, high = y.min(axis=0), y.max(axis=0)
        axes.fill_between(x, low, high, color=style.color, alpha=0.13, linewidth=0, zorder=2)


def _legend(place: Figure | Axes, axes: Axes, group: str) -> None:
    """Above its column, or below the figure where there is one column only."""
    handles, labels = axes.get_legend_handles_labels()
    longest = max(map(len, labels), default=0)
    where: dict[str, Any] = {
        "loc": "lower left",
        "bbox_to_anchor": (0.0, 1.01),
        "borderaxespad": 0.0,
    }
    if isinstance(place, Figure):
        where = {"loc": "outside lower center"}
    place.legend(
        handles,
        labels,
        title=group or None,
        title_fontproperties={"weight": "bold", "size": 10},
        ncols=3 if longest < 16 else 2,
        fontsize=8.5,
        frameon=False,
        alignment="left",
        handlelength=2.6,
        columnspacing=1.2,
        **where,
    )


def _mark(axes: Axes, x, mean, place: float, style: LineStyle) -> None:
    nearest = np.argmin(np.abs(x - place))
    axes.plot(x[nearest], mean[nearest], marker="o", color=style.color, markersize=6, zorder=4)


def _tidy(axes: Axes) -> None:
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8.5)
