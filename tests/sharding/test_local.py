"""Local steps with an outer optimizer: the algorithm, what it sends, and what it says."""

import json
import pickle
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import gradtx as gx
from gradtx.sharding import DilocoState, collectives, diloco, sent_bytes
from gradtx.testing import check_transformation

AXES = DilocoState.layout(each=0, shared=None)
SPECS = DilocoState.layout(each=PartitionSpec("replica"), shared=PartitionSpec())
PHASES = {"a": 2, "b": 0}  # of two fragments synchronised every 4 steps


def pulled(params, noise):
    """Return the gradients of parabolas around points that differ between replicas."""
    return jax.tree.map(lambda p, n: 0.3 * p + n, params, noise)


def stepped(tx, params, state, noise):
    """Return parameters and state of one replica after a step."""
    return tx.step(pulled(params, noise), state, params)


def mapped(tx, axes=AXES, **options):
    """Return the compiled step of all replicas under `vmap`."""
    step = partial(stepped, tx)
    sides = {"in_axes": (0, axes, 0), "out_axes": (0, axes)}
    return jax.jit(jax.vmap(step, axis_name="replica", **sides, **options))


def started(tx, params, replicas):
    """Return the parameters of all replicas and their state."""
    state = jax.vmap(tx.init, in_axes=None, out_axes=AXES, axis_size=replicas)(params)
    return jax.tree.map(lambda p: jnp.stack([p] * replicas), params), state


def problem(rng, replicas, steps, dtype=np.float64):
    """Return parameters at the start, and noise with axes (step, replica, ...)."""
    shapes = {"a": (2, 3), "b": (5,)}
    params = {k: rng.normal(size=shape).astype(dtype) for k, shape in shapes.items()}
    noise = {k: rng.normal(size=(steps, replicas, *s)).astype(dtype) for k, s in shapes.items()}
    return jax.tree.map(jnp.asarray, (params, noise))


def loop(w, noise, phase, lr=0.1, every=4, outer=0.7, momentum=0.9):
    """Return one array of all replicas after each step: Algorithm 1 with SGD inside."""
    anchor, velocity, w, seen = w, np.zeros_like(w), np.stack([w] * noise.shape[1]), []
    for t, n in enumerate(noise, 1):
        w = w - lr * (0.3 * w + n)
        if t % every == phase:
            d = np.mean(anchor - w, axis=0)
            velocity = momentum * velocity + d
            anchor = anchor - outer * (d + momentum * velocity)
            w = np.stack([anchor] * len(w))
        seen.append(w)
    return seen


@pytest.mark.parametrize(
    "fragments", [pytest.param(1, marks=pytest.mark.slow), 2, {"a": 0, "b": 1}]
)
def test_agrees_with_the_algorithm(x64, rng, fragments):
    params, noise = problem(rng, replicas=3, steps=13)
    tx = diloco(gx.sgd(0.1), every=4, fragments=fragments)
    step, (w, state) = mapped(tx), started(tx, params, 3)
    want = {
        k: loop(params[k], np.asarray(noise[k]), 0 if fragments == 1 else PHASES[k]) for k in params
    }
    for t in range(13):
        w, state = step(w, state, jax.tree.map(lambda n, t=t: n[t], noise))
        for k in params:
            np.testing.assert_allclose(w[k], want[k][t], rtol=0, atol=1e-12)
    assert int(state.count) == 13


def test_outer_descent_at_every_step_is_data_parallel(x64, rng):
    params, noise = problem(rng, replicas=3, steps=5)
    tx = diloco(gx.sgd(0.1), gx.sgd(1.0), every=1)
    step, (w, state) = mapped(tx), started(tx, params, 3)
    for t in range(5):
        w, state = step(w, state, jax.tree.map(lambda n, t=t: n[t], noise))
        mean = pulled(params, jax.tree.map(lambda n, t=t: n[t].mean(0), noise))
        params = jax.tree.map(lambda p, g: p - 0.1 * g, params, mean)
    for k, p in params.items():
        np.testing.assert_allclose(w[k], np.stack([p] * 3), rtol=0, atol=1e-15)


def alone(tree):
    """Return what stands at the only place of a leading axis of length 1."""
    return jax.tree.map(lambda x: x[0], tree)


def of_one(tx, params, state, noise):
    """Return the step of one device of a `shard_map`, whose arrays have a leading axis of 1."""
    params, state = stepped(tx, alone(params), state.map_each(lambda x: x[0]), alone(noise))
    return jax.tree.map(lambda x: x[None], params), state.map_each(lambda x: x[None])


@pytest.mark.slow
@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit])
def test_shard_map_and_vmap_agree_and_send_at_synchronisations_alone(rng, kind):
    """The same numbers in three ways of running it, one all-reduce a leaf inside a branch."""
    mesh = jax.make_mesh((8,), ("replica",), axis_types=(kind,))
    each, shared = (NamedSharding(mesh, s) for s in (PartitionSpec("replica"), PartitionSpec()))
    params, noise = problem(rng, replicas=8, steps=4, dtype=np.float32)
    tx = diloco(gx.adam(0.1), every=2)
    here = mapped(tx)
    with jax.set_mesh(mesh):
        sides = {
            "in_specs": (PartitionSpec("replica"), SPECS, PartitionSpec("replica")),
            "out_specs": (PartitionSpec("replica"), SPECS),
        }
        ways = [mapped(tx, spmd_axis_name="replica")] + [
            jax.jit(jax.shard_map(partial(of_one, tx), mesh=mesh, check_vma=check, **sides))
            for check in (True, False)
        ]
    for way in ways:
        w, state = started(tx, params, 8)
        w2, state2 = jax.device_put((w, state), (each, DilocoState.layout(each, shared)))
        for t in range(4):
            n = jax.tree.map(lambda n, t=t: n[t], noise)
            w, state = here(w, state, n)
            with jax.set_mesh(mesh):
                n = jax.device_put(n, each)
                w2, state2 = way(w2, state2, n)
        same = partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6)
        jax.tree.map(same, (w, state), (w2, state2))
        with jax.set_mesh(mesh):
            found = collectives(way.lower(w2, state2, n).compile())
        assert {c.where for c in found} == {"branch"}
        assert sent_bytes(found) == 11 * 4 * 2 * 7 / 8


def test_a_mapped_count_sends_a_number_and_no_more(rng):
    """A condition that differs between replicas would become a select that always exchanges."""
    params, noise = problem(rng, replicas=8, steps=2, dtype=np.float32)
    tx = diloco(gx.sgd(0.1), every=2)
    each = NamedSharding(jax.make_mesh((8,), ("replica",)), PartitionSpec("replica"))
    w, state = started(tx, params, 8)
    everything = jax.tree.map(lambda x: jnp.stack([x] * 8), state)
    w, everything, n = jax.device_put((w, everything, alone(noise)), each)
    step = mapped(tx, axes=0, spmd_axis_name="replica")
    with jax.set_mesh(each.mesh):
        found = collectives(step.lower(w, everything, n).compile())
    assert [c.bytes for c in found if c.where == "always"] == [4]
    assert sum(c.bytes for c in found if c.where == "branch") == 44


def test_replicas_agree_bit_for_bit_in_bfloat16(rng):
    """The anchor keeps the digits that a bfloat16 parameter near 1 has no place for."""
    params = {"w": jnp.ones(64, jnp.bfloat16)}
    noise = {"w": jnp.asarray(0.02 * rng.normal(size=(4, 4, 64)), jnp.bfloat16)}
    tx = diloco(gx.sgd(1.0), every=2)
    step, (w, state) = mapped(tx), started(tx, params, 4)
    for t in range(4):
        w, state = step(w, state, jax.tree.map(lambda n, t=t: n[t], noise))
        assert bool(jnp.all(w["w"] == w["w"][:1])) == (t % 2 == 1)
        assert w["w"].dtype == jnp.bfloat16
    anchor = state.anchor["w"]
    assert anchor.dtype == jnp.float32
    assert np.array_equal(w["w"][0], anchor.astype(jnp.bfloat16))
    assert not np.array_equal(anchor, anchor.astype(jnp.bfloat16).astype(jnp.float32))


def test_update_leads_where_step_leads(rng):
    params, noise = problem(rng, replicas=3, steps=4, dtype=np.float32)
    tx = diloco(gx.sgd(0.1, momentum=0.9), every=2)

    def updated(params, state, noise):
        updates, state = tx.update(pulled(params, noise), state, params)
        return gx.apply_updates(params, updates), state

    sides = {"in_axes": (0, AXES, 0), "out_axes": (0, AXES)}
    update = jax.jit(jax.vmap(updated, axis_name="replica", **sides))
    step, one = mapped(tx), started(tx, params, 3)
    two = one
    for t in range(4):
        n = jax.tree.map(lambda n, t=t: n[t], noise)
        one, two = step(*one, n), update(*two, n)
        jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-6, atol=1e-6), one, two)


def test_parameters_and_state_can_be_donated(rng):
    params, noise = problem(rng, replicas=3, steps=4, dtype=np.float32)
    tx = diloco(gx.sgd(0.1, momentum=0.9), every=2)
    step = jax.jit(mapped(tx), donate_argnums=(0, 1))
    w, state = started(tx, params, 3)
    for t in range(4):
        given = jax.tree.leaves((w, state))
        w, state = step(w, state, jax.tree.map(lambda n, t=t: n[t], noise))
        assert all(x.is_deleted() for x in given)


def test_fragments_have_about_equal_sizes():
    params = {"a": jnp.zeros(100), "b": jnp.zeros(60), "c": jnp.zeros(50), "d": None}
    state = diloco(gx.sgd(0.1), gx.sgd(1.0, momentum=0.9), axis=None, fragments=2).init(params)
    held = [{k for k, v in outer[0].trace.items() if v is not None} for outer in state.outer_state]
    assert held == [{"a"}, {"b", "c"}]


def first_last(params):
    """Return a fragment for each leaf."""
    return {"a": 1, "b": 0}


def test_a_number_of_fragments_of_numpy():
    tx = diloco(gx.sgd(0.1), axis=None, fragments=np.int64(2))
    assert len(tx.init(PARAMS).outer_state) == 2
    assert gx.from_config(json.loads(json.dumps(tx.to_config()))).init(PARAMS).count == 0


def test_fragments_by_a_function():
    tx = diloco(gx.sgd(0.1), gx.sgd(1.0, momentum=0.9), axis=None, fragments=first_last)
    state = tx.init({"a": jnp.zeros(2), "b": jnp.zeros(3)})
    assert [outer[0].trace["a"] is None for outer in state.outer_state] == [True, False]


def test_extra_arguments_reach_the_inner_transformation():
    tx = diloco(gx.polyak_sgd(), axis=None, every=3)
    params = {"w": jnp.ones(2)}
    with pytest.raises(TypeError, match="needs the extra argument `value`"):
        tx.step(params, tx.init(params), params)
    new, _ = jax.jit(tx.step)(params, tx.init(params), params, value=1.0)
    np.testing.assert_allclose(new["w"], 0.5)


def test_is_a_value():
    tx = diloco(gx.adam(0.1), every=10, fragments={"a": 0, "b": 1})
    assert repr(tx) == "diloco(inner=adam(learning_rate=0.1), every=10, fragments={'a': 0, 'b': 1})"
    assert pickle.loads(pickle.dumps(tx)) == tx
    assert gx.from_config(json.loads(json.dumps(tx.to_config()))) == tx


BRIEF = ("abstract", "donation", "missing")


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [{"checks": BRIEF}, {"skip": BRIEF}],
    ids=["brief", "rest"],
)
def test_contract(options):
    """One replica needs no axis: it goes through the contract like any transformation."""
    check_transformation(diloco(gx.sgd(0.1), axis=None, every=2, fragments=2), **options)


@pytest.mark.slow
def test_contract_with_adam_inside():
    check_transformation(diloco(gx.adam(0.1), axis=None, every=3))


PARAMS = {"a": jnp.ones(2), "b": jnp.ones(3)}


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"every": 0}, ValueError, "`every` must be an integer in \\[1"),
        ({"every": 4, "fragments": 5}, ValueError, "`fragments` must be an integer in .*4"),
        ({"fragments": 1.5}, ValueError, "but is 1.5"),
        ({"fragments": True}, ValueError, "but is True"),
        ({"axis": 3}, TypeError, "`axis` must be an axis name"),
        ({"outer": gx.sgd}, TypeError, "Was a constructor not called"),
        ({"fragments": {"a": 0}, "axis": None}, ValueError, "\\['b'\\]"),
        ({"fragments": {"a": 0, "b": -1}, "axis": None}, TypeError, "fragment of \\['b'\\]"),
        ({"fragments": {"a": 0, "b": 2}, "axis": None}, ValueError, "gaps.*\\[0, 2\\]"),
        ({"fragments": {"a": 0, "b": 1}, "every": 1}, ValueError, "makes 2"),
    ],
)
def test_arguments_are_checked(arguments, error, message):
    with pytest.raises(error, match=message):
        diloco(gx.sgd(0.1), **arguments).init(PARAMS)


def test_calls_are_checked():
    tx = diloco(gx.sgd(0.1))
    state = tx.init(PARAMS)
    with pytest.raises(ValueError, match=r"'replica' must be bound.*vmap.*axis=None to train"):
        tx.step(PARAMS, state, PARAMS)
    with pytest.raises(ValueError, match="diloco needs the parameters"):
        tx.update(PARAMS, state)
    with pytest.raises(ValueError, match="must be a DilocoState, but is a tuple"):
        tx.update(PARAMS, (), PARAMS)
    other = diloco(gx.sgd(0.1), axis=None, fragments=2)
    with pytest.raises(ValueError, match="must have 2 outer states"):
        other.step(PARAMS, state, PARAMS)
