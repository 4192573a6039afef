"""What a chain refuses, and what may stand in it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx

TWO = gx.accumulate(gx.identity(), 2)


@pytest.mark.parametrize(
    ("behind", "what"),
    [
        (gx.adamw(0.1), "`adamw` stands behind `accumulate`, so that its `scale_by_adam` would "),
        (gx.trace(0.9), "`trace` stands behind `accumulate`, so that it would move its state"),
        (gx.sgd(lambda count: 0.1), "its `scale_by_learning_rate` would advance its schedule"),
        (gx.add_decayed_weights(0.1), "would pull the parameters at every micro-step"),
        (gx.add_noise(0.1, 0.0, 1), "would draw noise"),
        (gx.guard(gx.adam(0.1)), r"Put it inside: accumulate\(chain\(..., guard\(...\)\), every\)"),
    ],
)
def test_what_moves_by_itself_is_refused(behind, what):
    with pytest.raises(ValueError, match=f"^chain: .*{what}"):
        gx.chain(gx.clip(1.0), gx.guard(TWO), behind)
    with pytest.raises(ValueError, match=f"^named_chain: .*{what}"):
        gx.named_chain(("mean", TWO), ("rest", behind))
    gx.chain(behind, TWO)
    gx.chain(gx.MultiSteps(gx.identity(), 2), behind)  # as in Optax, whatever comes of it


def test_an_accumulation_of_other_leaves_is_none_of_its_business():
    first = gx.groups(("body/*", gx.accumulate(gx.sgd(1.0), 2)), ("*", gx.identity()))
    behind = gx.groups(("body/*", gx.identity()), ("*", gx.trace(0.5)))
    tx = gx.chain(first, behind)
    params = {"body": {"w": jnp.zeros(2)}, "head": {"w": jnp.zeros(2)}}
    grads, state = jax.tree.map(jnp.ones_like, params), tx.init(params)
    for _ in range(2):
        params, state = jax.jit(tx.step)(grads, state, params)
    np.testing.assert_allclose(params["body"]["w"], -1.0)
    np.testing.assert_allclose(params["head"]["w"], 1.0 + 1.5)
    with pytest.raises(ValueError, match="its `trace` would move its state"):
        gx.chain(gx.guard(TWO), behind)


def test_what_makes_nothing_of_nothing_may_stand_there():
    tx = gx.chain(TWO, gx.clip_by_global_norm(1.0), gx.sgd(0.5), gx.keep_params_nonnegative())
    params = jnp.ones(1)
    state, seen = tx.init(params), []
    for g in (3.0, 5.0):
        params, state = tx.step(jnp.array([g]), state, params)
        seen.append(float(params[0]))
    np.testing.assert_allclose(seen, [1.0, 0.5])


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


def test_one_key_for_two_is_refused():
    noise = gx.add_noise(0.3, 0.0, key=1)
    with pytest.raises(ValueError, match=r"^chain: `add_noise` and `add_noise` have the same key"):
        gx.chain(noise, gx.sgd(0.1), gx.add_noise(0.1, 0.0, seed=1))
    with pytest.raises(ValueError, match=r"^named_chain: .* Give one of them another key"):
        gx.named_chain(("a", gx.add_noise(0.3, 0.0)), ("b", gx.noisy_sgd(0.1)))


def test_two_keys_draw_independent_numbers():
    tx = gx.chain(*(gx.add_noise(0.3, 0.0, key=k) for k in (1, 2)))
    u, _ = tx.update(jnp.zeros(100_000), tx.init(jnp.zeros(100_000)))
    np.testing.assert_allclose(jnp.var(u), 0.6, rtol=0.02)


def test_groups_may_share_a_key():
    params = {"a": jnp.ones(3), "b": jnp.ones(3)}
    parts = [gx.masked(gx.add_noise(0.3, 0.0), {k: k == own for k in params}) for own in params]
    tx = gx.chain(*parts)
    u, _ = jax.jit(tx.update)(params, tx.init(params))
    assert not np.allclose(u["a"], u["b"])
