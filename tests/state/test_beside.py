"""Which numbers start anew together with the arrays beside them, and what is said where not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx
from gradtx.state import at_step, export, reset, resize, restore
from tests.state.filled import filled

PARAMS = {"a": {"w": jnp.ones((3, 2)), "b": jnp.zeros(2)}, "c": jnp.ones(2)}
ADAM = gx.adamw(0.1)


def same(left, right):
    for x, y in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
        np.testing.assert_array_equal(x, y)


def directions(tx, state):
    updates, _ = tx.update(jax.tree.map(jnp.ones_like, PARAMS), state, PARAMS)
    return jax.tree.leaves(updates)


def test_all_moments_of_a_rule_start_anew_with_their_count():
    """Or Adam's next step would be 3 times as large; its schedule goes on."""
    tx = gx.adam(gx.linear_schedule(1.0, 0.0, 2000))
    state = reset(tx, at_step(tx, filled(tx, PARAMS), 1000), PARAMS)
    assert (int(state[0].count), int(state[1].count)) == (0, 1000)
    for u in directions(tx, state):
        np.testing.assert_allclose(u, -0.5, rtol=1e-5)
    old = at_step(tx, filled(tx, PARAMS), 1000)
    assert int(reset(tx, old, PARAMS, counts=False)[0].count) == 1000


@pytest.mark.parametrize(
    "tx",
    [
        gx.adamw(0.1),
        gx.nadam(0.1),
        gx.with_ema(gx.scale_by_amsgrad(), 0.9),
        gx.guard(gx.adafactor(0.1, 2)),
        gx.scale_by_ademamix(),
        gx.prodigy(0.1),
    ],
)
def test_reset_of_all_is_init_where_nothing_else_counts(tx):
    state = reset(tx, filled(tx, PARAMS), PARAMS)
    fresh = export(tx, tx.init(PARAMS))
    for name, x in export(tx, state).items():
        if not name.startswith("guard/"):
            same(x, fresh[name])


def test_clocks_of_schedules_go_on_through_a_reset():
    """Those of noise, of live numbers and accumulation; and the count of Lion, which is one."""
    rate = gx.linear_schedule(1.0, 0.0, 10)
    tx = gx.tunable(gx.accumulate(gx.chain(gx.add_noise(0.1, 0.5, key=1), gx.lion(rate)), 2))
    state = reset(tx, filled(tx, PARAMS), PARAMS)
    counts = {n: int(x) for n, x in export(tx, state).items() if n.endswith("count")}
    assert set(counts.values()) == {3}
    reset(gx.lion(0.1), filled(gx.lion(0.1), PARAMS), PARAMS, "c")  # without a warning
    reset(gx.adam(0.1), gx.adam(0.1).init(PARAMS), PARAMS, "c")


def test_new_moments_beside_a_high_count_are_reported():
    wider = PARAMS | {"c": jnp.ones(5)}
    old = filled(ADAM, PARAMS)
    (hint,) = resize(ADAM, old, PARAMS, wider)[1].hints
    assert hint.startswith("scale_by_adam/count goes on at 3 beside scale_by_adam/mu/c, ")
    more = PARAMS | {"d": jnp.ones(5)}
    (hint,) = restore(ADAM, more, export(ADAM, old), missing="init")[1].hints
    assert "scale_by_adam/mu/d, scale_by_adam/nu/d that start anew" in hint
    assert resize(gx.lion(0.1), filled(gx.lion(0.1), PARAMS), PARAMS, wider)[1].hints == ()
    assert resize(ADAM, ADAM.init(PARAMS), PARAMS, wider)[1].hints == ()
