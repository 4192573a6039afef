"""Tests of examples/demo.py and its parts."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def parts():
    """The package examples/demo_parts, as the script sees it."""
    sys.path.insert(0, str(EXAMPLES))
    try:
        from demo_parts import data, networks, optimizers, schedules

        yield {m.__name__.split(".")[-1]: m for m in (data, networks, optimizers, schedules)}
    finally:
        sys.path.remove(str(EXAMPLES))


@pytest.mark.slow
def test_report_is_whole_and_its_path_is_printed_last(tmp_path):
    command = [sys.executable, str(EXAMPLES / "demo.py"), "--quick", "--out", str(tmp_path)]
    done = subprocess.run(
        [*command, "--optimizers", "Momentum", "Adam"], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    path = Path(done.stdout.strip().splitlines()[-1])
    page = path.read_text(encoding="utf-8")
    assert path == tmp_path / "report.html"
    outside = re.findall(r'(?:src|href|srcset)="(?!data:|#)([^"]*)', page)
    assert outside == []  # nothing is loaded from elsewhere
    assert page.count("data:image/png;base64,") >= 8 and "data:image/gif;base64," in page
    assert "Momentum" in page and "gx.adam(lr" in page


def test_data_is_split_once_and_for_all(parts):
    digits = parts["data"].load()
    sizes = [len(split.labels) for split in digits]
    assert sizes == [1077, 360, 360]
    seen = {image.tobytes() for image in digits.train.images}
    shared = sum(image.tobytes() in seen for image in digits.test.images)
    assert shared == 0
    for split in digits:
        assert np.bincount(split.labels).min() > 0.09 * len(split.labels)


def test_batches_are_drawn_without_replacement_in_an_epoch(parts):
    order = parts["data"].batch_order((0, 1), examples=100, steps=25, batch_size=10)
    assert order.shape == (2, 25, 10)
    assert sorted(order[0, :10].ravel()) == list(range(100))
    assert not np.array_equal(order[0], order[1])


def test_convolution_is_that_of_jax(parts):
    import jax

    x, w, b = (
        jax.random.normal(jax.random.key(i), shape)
        for i, shape in enumerate([(2, 8, 8, 3), (3, 3, 3, 5), (5,)])
    )
    for stride in (1, 2):
        ours = parts["networks"]._convolve(x, w, b, stride)
        # With stride 2 the padding lies before the image, as in most other libraries.
        theirs = jax.lax.conv_general_dilated(
            x, w, (stride, stride), [(1, 1), (1, 1)], dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        np.testing.assert_allclose(ours, theirs + b[None, None, None], rtol=1e-4, atol=1e-4)


def test_every_optimizer_has_a_group_and_a_rate_inside_the_grid(parts):
    table = parts["optimizers"]
    grouped = [name for names in table.GROUPS.values() for name in names]
    assert sorted(grouped) == sorted(table.OPTIMIZERS)
    for rates in table.RATES.values():
        assert list(rates) == list(table.OPTIMIZERS)
        assert set(rates.values()) <= set(table.GRID[1:-1])


def test_every_optimizer_takes_the_rate_that_it_is_given(parts):
    import jax.numpy as jnp

    params = {"w": jnp.ones(3)}
    for name, entry in parts["optimizers"].OPTIMIZERS.items():
        tx = entry(0.5)
        params_after, _ = tx.step({"w": jnp.full(3, 0.1)}, tx.init(params), params)
        still, _ = entry(0.0).step({"w": jnp.full(3, 0.1)}, tx.init(params), params)
        assert jnp.all(params_after["w"] < 1.0), name
        assert jnp.all(still["w"] == 1.0), name
        assert entry.code().startswith(f"{entry.constructor.__name__}(lr"), name


def test_schedules_stay_below_their_peak(parts):
    schedules = parts["schedules"]
    for name, schedule in schedules.all_schedules().items():
        values = [float(schedule(step)) for step in (0, 100, 500, 999)]
        assert min(values) >= 0.0 and max(values) <= schedules.PEAK * (1 + 1e-6), name
