"""Spectra: how many eigenvalues of a curvature lie where."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from ..curvature import Eigenvalues, SpectralDensity
from ._curves import _tidy
from ._style import LineStyle, line_styles

_LOWEST = 1e-8  # of the highest density: below it lies the far tail of the smoothing


def spectral_density(
    densities: Mapping[str, SpectralDensity],
    *,
    eigenvalues: Mapping[str, Eigenvalues] | None = None,
    width: float | None = None,
    xlabel: str = "eigenvalue",
    title: str = "",
    styles: Mapping[str, LineStyle] | None = None,
) -> Figure:
    """Draw the densities of spectra, one below the other, on one axis of eigenvalues.

    The density is logarithmic, so that a few outlying eigenvalues show beside the bulk of millions.

    Args:
        densities: From a name to what `gradtx.curvature.spectral_density` returned; at least one.
        eigenvalues: Per name extreme eigenvalues, which are marked below the curve.
        width: Standard deviation of the Gaussians into which nodes are spread; None for 1 % of the
            range of all.
        xlabel: What an eigenvalue means.
        title: A title for the figure.
        styles: Line styles by name; by default `line_styles` of all names.

    Raises:
        ValueError: If there is no density.
    """
    if not densities:
        raise ValueError("`densities` must hold at least one density, but is empty.")
    eigenvalues, styles = eigenvalues or {}, styles or line_styles(densities)
    ends = [x for d in densities.values() for x in (np.min(d.nodes), np.max(d.nodes))]
    ends += [x for e in eigenvalues.values() for x in (np.min(e.values), np.max(e.values))]
    low, high = min(ends), max(ends)
    width = float(width or 0.01 * (high - low) or 1e-3)
    grid = np.linspace(low - 4.0 * width, high + 4.0 * width, 2000)
    rows = len(densities)
    figure = Figure(figsize=(8.5, 1.9 * rows + 0.8), layout="constrained")
    panels = figure.subplots(rows, 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    curves = {name: density.smoothed(grid, width)[1] for name, density in densities.items()}
    highest = max(float(np.max(curve)) for curve in curves.values())
    floor = highest * max(_LOWEST, 0.05 / max(d.size for d in densities.values()))
    for axes, (name, curve) in zip(panels, curves.items(), strict=True):
        color = styles[name].color
        axes.plot(grid, np.maximum(curve, floor / 10), color=color, linewidth=1.4)
        axes.fill_between(grid, floor / 10, np.maximum(curve, floor / 10), color=color, alpha=0.15)
        if name in eigenvalues:
            marks = eigenvalues[name].values
            axes.plot(marks, np.full(len(marks), 2.0 * floor), "|", color="#d55e00", markersize=11)
        axes.axvline(0.0, color="#8a8a8a", linewidth=0.8, linestyle=(0, (3, 2)), zorder=0)
        axes.set_yscale("log")
        axes.set_ylim(floor, 3.0 * highest)
        axes.set_title(name, fontsize=10, loc="left")
        _tidy(axes)
    panels[-1].set_xlabel(xlabel)
    figure.supylabel("density", fontsize=10)
    figure.suptitle(title)
    return figure
