"""Tests of gradtx/plot/_curves.py."""

import io

import jax.numpy as jnp
import matplotlib as mpl
import numpy as np
import pytest

from gradtx import plot

LOSSES = {
    "SGD": [3.0, 2.0, 1.0],
    "Adam": [[3.0, 1.0, 0.5], [3.0, 2.0, 1.5]],
    "Lion": [1.0, 1.0, 1.0],
}


def draw(figure):
    figure.savefig(io.BytesIO(), format="png", dpi=40)


def colored(axes):
    return [line.get_label() for line in axes.lines if not line.get_label().startswith("_")]


def test_history_draws_groups_in_color_and_the_rest_in_grey():
    groups = {"momentum": ["SGD"], "adaptive": ["Adam", "Lion"]}
    figure = plot.history({"loss": LOSSES, "accuracy": LOSSES}, groups=groups, log=("loss",))
    draw(figure)
    assert len(figure.axes) == 4
    top_left, top_right, bottom_left, _ = figure.axes
    assert colored(top_left) == ["SGD"] and colored(top_right) == ["Adam", "Lion"]
    assert len(top_left.lines) == len(top_right.lines) == 3
    assert top_left.get_ylabel() == "loss" and bottom_left.get_xlabel() == "step"
    assert top_left.get_yscale() == "log" and bottom_left.get_yscale() == "linear"


def test_history_draws_the_mean_of_repetitions_and_their_range():
    (axes,) = plot.history({"loss": {"Adam": LOSSES["Adam"]}}).axes
    np.testing.assert_allclose(axes.lines[0].get_ydata(), [3.0, 1.5, 1.0])
    (band,) = axes.collections
    assert band.get_paths()[0].get_extents().y0 == 0.5


def test_history_takes_steps_for_all_or_for_each():
    (axes,) = plot.history({"loss": LOSSES}, steps=[10, 20, 30]).axes
    np.testing.assert_allclose(axes.lines[0].get_xdata(), [10, 20, 30])
    steps = {"short": [1.0, 2.0], "long": [1.0, 2.0, 3.0]}
    curves = {"short": [1.0, 2.0], "long": [1.0, 2.0, 3.0]}
    (axes,) = plot.history({"loss": curves}, steps=steps, log_x=True).axes
    assert axes.get_xscale() == "log" and [len(line.get_xdata()) for line in axes.lines] == [2, 3]


def test_history_marks_the_nearest_point():
    (axes,) = plot.history({"loss": LOSSES}, steps=[1, 10, 100], marks={"SGD": 9.0}).axes
    assert [
        (*line.get_xdata(), *line.get_ydata()) for line in axes.lines if len(line.get_xdata()) == 1
    ] == [(10.0, 2.0)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"metrics": {}}, "must hold at least one curve"),
        ({"metrics": {"loss": LOSSES}, "groups": {"": ["Muon"]}}, r"\['Muon'\] are not there"),
        ({"metrics": {"loss": LOSSES}, "steps": [1, 2]}, r"'SGD' has 3 points .* shape \(2,\)"),
    ],
)
def test_history_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        plot.history(**arguments)


def test_schedules_draws_functions_and_constants():
    drawn = {
        "constant": 0.1,
        "falling": lambda step: 2.0 ** -step.astype(float),
        "zero": lambda step: 0.0,
    }
    figure = plot.schedules(drawn, 10, columns=2)
    draw(figure)
    assert [axes.get_title(loc="left") for axes in figure.axes] == list(drawn)
    np.testing.assert_allclose(figure.axes[0].lines[0].get_ydata(), np.full(10, 0.1))
    np.testing.assert_allclose(figure.axes[1].lines[0].get_ydata(), 0.5 ** np.arange(10))


def test_schedules_errors():
    with pytest.raises(ValueError, match="0 schedules and 5 steps"):
        plot.schedules({}, 5)
    with pytest.raises(ValueError, match="1 schedules and 1 steps"):
        plot.schedules({"constant": 0.1}, 1)


def test_global_settings_stay():
    before = dict(mpl.rcParams)
    draw(plot.history({"loss": LOSSES}, title="a title"))
    draw(plot.schedules({"cosine": jnp.cos}, 5, title="a title"))
    assert dict(mpl.rcParams) == before
