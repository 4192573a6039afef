"""What must stand last in a chain: averages of the parameters, and what rounds them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx

FIRST = {
    "with_ema": lambda inner: gx.with_ema(inner, 0.9),
    "with_average": gx.with_average,
    "with_swa": lambda inner: gx.with_swa(inner, start=1, every=2),
    "with_rounding": lambda inner: gx.with_rounding(inner, "split"),
}


@pytest.mark.parametrize("name", FIRST)
def test_what_changes_updates_behind_it_is_refused(name):
    first = FIRST[name](gx.sgd(0.1))
    inside = rf"Put that inside: {name}\(chain\(..., scale\(...\)\), ...\)"
    nested = gx.chain(gx.guard(gx.accumulate(first, 2)), gx.identity())
    for tx in (first, nested):
        with pytest.raises(ValueError, match=f"^chain: `{name}` must stand last, since .*{inside}"):
            gx.chain(tx, gx.identity(), gx.scale(0.5))
    with pytest.raises(ValueError, match=f"^named_chain: `{name}` must stand last"):
        gx.named_chain(("first", first), ("rates", gx.scale_by_path(("*", 0.5))))
    with pytest.raises(ValueError, match="`with_metrics` behind it changes the updates"):
        gx.chain(first, gx.with_metrics(gx.scale(0.5), "update_norm"))
    gx.chain(gx.clip(1.0), first)


def test_a_pair_of_functions_behind_it_is_refused():
    pair = (lambda params: (), lambda updates, state, params=None: (updates, state))
    with pytest.raises(ValueError, match=r"chain\(..., a pair of functions\), ...\)"):
        gx.chain(gx.with_average(gx.sgd(0.1)), pair)


def test_what_only_looks_may_stand_behind():
    looks = (
        gx.chain(gx.identity(), gx.snapshot("norm", gx.tree.norm)),
        gx.monitor({"norm": gx.tree.norm}),
        gx.with_metrics(gx.identity(), "update_norm"),
    )
    tx, w = gx.chain(gx.with_ema(gx.sgd(0.1), 0.5, debias=False), *looks), jnp.ones(2)
    state = tx.init(w)
    for _ in range(2):
        w, state = jax.jit(tx.step)(jnp.ones(2), state, w)
    np.testing.assert_allclose(tx.eval_params(state, w), (1.0 / 4 + 0.9 / 4 + 0.8 / 2), rtol=1e-6)
