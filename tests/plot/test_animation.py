"""Tests of gradtx/plot/_animation.py."""

from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from gradtx import plot
from gradtx.testing.problems import toy

PATHS = {
    "straight": np.linspace((-5.0, -2.0), (0.0, 0.0), 9),
    "away": -np.linspace((5, 2), (20, 9), 9),
}
LANDSCAPE = plot.Landscape("toy", toy().function, PATHS, ((-6.0, 2.0), (-3.0, 3.0)))


def test_gif_holds_every_frame(tmp_path):
    animation = plot.animate_paths(LANDSCAPE, frames=4, interval=50)
    before = animation._fig.dpi
    animation.save_gif(tmp_path / "paths.gif", dpi=40)
    assert animation._fig.dpi == before
    with Image.open(tmp_path / "paths.gif") as gif:
        assert gif.n_frames == 4 and gif.info["loop"] == 0
        pictures = []
        for frame in range(4):
            gif.seek(frame)
            pictures.append(np.asarray(gif.convert("RGB")).astype(int))
        assert gif.info["duration"] == 2500
    np.testing.assert_array_equal(pictures[0][0, 0], 255)  # white stays white
    changes = [np.abs(b - a).max() for a, b in pairwise(pictures)]
    assert min(changes) > 30  # something moves in every frame


def test_first_and_last_frame():
    animation = plot.animate_paths(LANDSCAPE, frames=3)
    animation._draw_was_started = True  # nothing is shown here
    axes = animation._fig.axes[0]
    line = [line for line in axes.lines if line.get_linestyle() != "None"][-1]
    animation._func(0)
    assert len(line.get_xdata()) == 1
    animation._func(2)
    np.testing.assert_allclose(line.get_xydata(), PATHS["away"])
    assert axes.texts[0].get_text() == "step 8"


def test_matplotlib_can_save_it_too(tmp_path):
    plot.animate_paths(LANDSCAPE, frames=2).save(tmp_path / "paths.gif", writer="pillow", dpi=30)
    assert (tmp_path / "paths.gif").stat().st_size > 0


def test_errors():
    with pytest.raises(ValueError, match="`frames` must be at least 2, but is 1"):
        plot.animate_paths(LANDSCAPE, frames=1)
    with pytest.raises(ValueError, match="at least one landscape"):
        plot.animate_paths()
