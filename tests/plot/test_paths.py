"""Tests of gradtx/plot/_paths.py."""

import io

import numpy as np
import pytest

from gradtx import plot
from gradtx.testing.problems import saddle, toy

VIEW = ((-6.0, 2.0), (-3.0, 3.0))
INWARD = np.array([[-5.0, -2.0], [-2.0, -1.0], [0.0, 0.0]])
OUTWARD = np.array([[-5.0, -2.0], [-5.5, -2.5], [-7.0, -4.0], [-5.0, -2.0]])


def landscape(**changes):
    given = {
        "title": "toy",
        "function": toy().function,
        "paths": {"in": INWARD, "out": OUTWARD},
        "view": VIEW,
        "minimum": (0.0, 0.0),
    }
    return plot.Landscape(**(given | changes))


def marked(axes):
    return [tuple(np.ravel(line.get_xydata())) for line in axes.lines if len(line.get_xdata()) == 1]


def test_paths_end_at_their_last_point_in_the_view():
    figure = plot.paths(landscape(), landscape(title="again"))
    figure.savefig(io.BytesIO(), format="png", dpi=40)
    axes, again = figure.axes
    assert (axes.get_title(), again.get_title()) == ("toy", "again")
    assert (axes.get_xlim(), axes.get_ylim()) == VIEW
    # The start, the minimum, then the end of each path.
    assert marked(axes) == [(-5.0, -2.0), (0.0, 0.0), (0.0, 0.0), (-5.5, -2.5)]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["in", "out"]


def test_functions_with_any_values_have_contours():
    for function in (saddle().function, lambda x: 1e6 * x[0] + x[1], lambda x: 0.0 * x[0]):
        figure = plot.paths(landscape(function=function, minimum=None))
        figure.savefig(io.BytesIO(), format="png", dpi=40)


def test_a_grid_that_is_not_full():
    assert len(plot.paths(*[landscape()] * 3).axes) == 3


def test_errors():
    with pytest.raises(ValueError, match="at least one landscape"):
        plot.paths()
