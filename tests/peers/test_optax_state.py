"""A run of Optax goes on in gradtx, and one of gradtx in Optax: every line that has a twin."""

import jax
import numpy as np
import pytest

from gradtx.state import from_optax, to_optax
from tests.cases import CASES
from tests.optax_deviations import NUMBERS
from tests.peers.test_optax_updates import COMPARED, ROUNDED, ROUNDED_LINES, tree
from tests.peers.twins import built_by_optax

STEPS, MORE = 3, 2
# Lines of constructors whose state means something else.
REFUSED = {}
# Lines whose state Optax has not: a count that is not needed.
COUNTED = {"fromage": 3}


def compared(line):
    return line not in NUMBERS and line.split(" / ")[0] not in NUMBERS


LINES = [line for line in COMPARED if compared(line)]


def steps(tx, params, state, extras, rng, number):
    """Return parameters, state and the updates after so many steps of random gradients."""
    found = []
    for _ in range(number):
        given = extras(params) if callable(extras) else extras
        u, state = tx.update(tree(rng), state, params, **given)
        params = jax.tree.map(lambda p, u: p + 0.1 * u, params, u)
        found.append(u)
    return params, state, found


def check_close(ours, theirs, tolerance):
    for x, y in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        assert np.max(np.abs(x - y) / (np.abs(y) + 1e-3), initial=0) < tolerance


def tolerance_of(line):
    rounded = line.split(" / ")[0] in ROUNDED or line in ROUNDED_LINES
    return 1e-6 if rounded else 1e-10


@pytest.mark.parametrize("line", LINES)
def test_a_run_goes_over_and_back(line, x64):
    """Three steps in Optax, two in gradtx, and from there two in Optax: all are as if alone."""
    extras, tx = CASES[line].options.get("extras", {}), CASES[line].make()
    rngs = [np.random.default_rng(0) for _ in range(2)]
    counts = COUNTED.get(line, "saved")
    with jax.numpy_dtype_promotion("standard"):
        twin = built_by_optax(tx)
        params, state, _ = steps(twin, tree(rngs[0]), twin.init(tree(rngs[1])), extras, rngs[0], 3)
        before, moved = params, state
        rngs[1].bit_generator.state = rngs[0].bit_generator.state
        params, state, expected = steps(twin, params, state, extras, rngs[0], MORE)
        rest = steps(twin, params, state, extras, rngs[0], MORE)[2]
    ours, report = from_optax(tx, before, moved, counts=counts)
    assert jax.tree.structure(ours) == jax.tree.structure(tx.init(before))
    assert not report.missing
    assert not report.extra
    after, ours, found = steps(tx, before, ours, extras, rngs[1], MORE)
    check_close(found, expected, tolerance_of(line))
    with jax.numpy_dtype_promotion("standard"):
        back, _ = to_optax(tx, ours, moved, after, extra="drop" if line in COUNTED else "raise")
        assert jax.tree.structure(back) == jax.tree.structure(moved)
        check_close(steps(twin, after, back, extras, rngs[1], MORE)[2], rest, tolerance_of(line))
