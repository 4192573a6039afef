"""Tests of gradtx/plot/_spectrum.py."""

import io

import numpy as np
import pytest

from gradtx import plot
from gradtx.curvature import Eigenvalues, SpectralDensity

NODES = np.array([[-0.1, 0.0, 0.1, 4.0]])
DENSITY = SpectralDensity(NODES, np.array([[0.3, 0.4, 0.29, 0.01]]), size=10**4, products=4)
EXTREME = Eigenvalues(
    values=np.array([5.0, 4.0]),
    bounds=np.zeros(2),
    rounding=0.0,
    converged=np.ones(2, bool),
    tolerance=1e-4,
    scale=5.0,
    products=9,
    multiplicity_checked=True,
    largest=2,
)


def test_a_panel_a_spectrum_on_one_axis():
    figure = plot.spectral_density(
        {"start": DENSITY, "end": DENSITY}, eigenvalues={"end": EXTREME}, title="a title"
    )
    figure.savefig(io.BytesIO(), format="png", dpi=40)
    start, end = figure.axes
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["start", "end"]
    assert start.get_xlim() == end.get_xlim() and start.get_xlim()[1] > 5.0
    assert start.get_yscale() == "log" and end.get_xlabel() == "eigenvalue"
    marks = [line for line in end.lines if line.get_marker() == "|"]
    np.testing.assert_array_equal(marks[0].get_xdata(), [5.0, 4.0])
    grid, height = start.lines[0].get_data()
    assert height[np.argmin(np.abs(grid))] > 10 * height[np.argmin(np.abs(grid - 4.0))]


def test_nothing_to_draw():
    with pytest.raises(ValueError, match="must hold at least one density, but is empty"):
        plot.spectral_density({})
