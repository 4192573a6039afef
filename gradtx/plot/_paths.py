"""Paths of optimizers on the contour lines of functions of two variables."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike

from ._style import LineStyle, line_styles

_LEVELS = 22
_RESOLUTION = 241


@dataclass(frozen=True)
class Landscape:
    """A function of two variables, and the paths that lead over it.

    Attributes:
        title: The title of its panel.
        function: Maps a point of shape `(2,)` to a scalar.
        paths: From an optimizer's name to its points, of shape `(points, 2)`; see `trajectory`.
        view: What is shown: the ends of the x1 axis, then of the x2 axis.
        minimum: A point to mark with a star, if any.
    """

    title: str
    function: Callable[[jax.Array], jax.Array]
    paths: Mapping[str, ArrayLike]
    view: tuple[tuple[float, float], tuple[float, float]]
    minimum: tuple[float, ...] | None = None


def paths(
    *landscapes: Landscape,
    columns: int = 2,
    title: str = "",
    styles: Mapping[str, LineStyle] | None = None,
) -> Figure:
    """Draw the paths of optimizers over contour lines, a panel for each landscape.

    The contours lie at quantiles of the function over the view, so that they show its shape
    whatever its scale. A ring marks the start, a marker the end of each path; a path that leaves
    the view ends at its edge.

    Args:
        landscapes: What to draw, at least one.
        columns: Panels in a row, at least 1.
        title: A title for the figure.
        styles: Line styles by optimizer; by default `line_styles` of all names.

    Raises:
        ValueError: If there is no landscape.
    """
    figure, grid, styles = canvas(landscapes, columns, title, styles)
    for axes, landscape in zip(grid, landscapes, strict=True):
        for name, path in landscape.paths.items():
            points = np.asarray(path)
            axes.plot(points[:, 0], points[:, 1], linewidth=1.5, alpha=0.9, **styles[name].line())
            last = points[inside(points, landscape.view)][-1:]
            axes.plot(last[:, 0], last[:, 1], **end_marker(styles[name]))
    return figure


def canvas(landscapes, columns, title, styles):
    """The figure with contours, starts, minima and legend, before any path is drawn."""
    if not landscapes:
        raise ValueError("`paths` needs at least one landscape, but got none.")
    names = list(dict.fromkeys(name for landscape in landscapes for name in landscape.paths))
    styles = styles or line_styles(names)
    columns = min(columns, len(landscapes))
    rows = math.ceil(len(landscapes) / columns)
    figure = Figure(figsize=(5.3 * columns, 4.1 * rows + 0.9), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat[len(landscapes) :]:
        axes.remove()
    grid = list(grid.flat[: len(landscapes)])
    for axes, landscape in zip(grid, landscapes, strict=True):
        _contours(axes, landscape)
    handles = [
        Line2D([], [], label=name, linewidth=1.8, markersize=6, **styles[name]._asdict())
        for name in names
    ]
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=min(6 if columns > 1 else 4, len(handles)),
        fontsize=9,
        frameon=False,
        handlelength=3.2,
    )
    figure.suptitle(title)
    return figure, grid, styles


def inside(points: np.ndarray, view) -> np.ndarray:
    """Which points of a path are drawn: all up to the first that is out of the view."""
    (left, right), (bottom, top) = view
    x, y = points[:, 0], points[:, 1]
    visible = (x >= left) & (x <= right) & (y >= bottom) & (y <= top)
    return np.logical_and.accumulate(visible)


def end_marker(style: LineStyle) -> dict:
    """Keyword arguments for the marker at the head of a path."""
    return {
        "color": style.color,
        "marker": style.marker,
        "linestyle": "none",
        "markersize": 6.5,
        "markeredgecolor": "white",
        "markeredgewidth": 0.7,
        "zorder": 5,
    }


def _contours(axes: Axes, landscape: Landscape) -> None:
    x = np.linspace(*landscape.view[0], _RESOLUTION)
    y = np.linspace(*landscape.view[1], _RESOLUTION)
    points = jnp.asarray(np.stack(np.meshgrid(x, y), axis=-1), dtype=jnp.float32)
    values = np.asarray(jax.vmap(jax.vmap(landscape.function))(points))
    # Squared: more lines where the function is low, which is where paths end.
    levels = np.unique(np.quantile(values, np.linspace(0.0, 1.0, _LEVELS) ** 2))
    if len(levels) > 2:  # a constant function has no contours
        norm = BoundaryNorm(levels, 256)
        axes.contourf(x, y, values, levels, cmap="Blues_r", norm=norm, alpha=0.35)
        axes.contour(x, y, values, levels, colors="#5b7083", linewidths=0.4, alpha=0.7)
    axes.set(xlim=landscape.view[0], ylim=landscape.view[1], xlabel="x1", ylabel="x2")
    axes.set_title(landscape.title, fontsize=10)
    axes.tick_params(labelsize=8.5)
    for path in list(landscape.paths.values())[:1]:
        start = np.asarray(path)[0]
        axes.plot(*start, marker="o", color="black", fillstyle="none", markersize=9, zorder=6)
    if landscape.minimum is not None:
        axes.plot(*landscape.minimum, marker="*", color="black", markersize=13, zorder=4)
