"""Coded means over replicas: nothing is lost, all replicas agree, and few bytes are sent."""

import json
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import gradtx as gx
from gradtx.sharding import (
    collectives,
    diloco,
    int8_mean_over,
    low_rank_mean_over,
    mean_over,
    sent_bytes,
    sharded,
    sign_mean_over,
    top_k_mean_over,
)

CODED = {
    "int8": int8_mean_over("replica", block_size=20),
    "sign": sign_mean_over("replica", block_size=20),
    "top-k": top_k_mean_over("replica", 0.1),
    "low rank": low_rank_mean_over("replica", 1),
}


def each(*first):
    """Return a mark that runs a test for all transformations, by default for the first alone."""
    slow = [pytest.param(name, marks=pytest.mark.slow) for name in CODED if name not in first]
    return pytest.mark.parametrize("name", [*first, *slow])


# None of the sizes divides by 3 replicas and blocks of 24.
SHAPES = {"matrix": (13, 11), "tensor": (2, 3, 5, 7), "number": (), "none": (0, 3)}


def started(tx, params, replicas):
    """Return the state of all replicas."""
    return jax.jit(jax.vmap(tx.init, in_axes=None, out_axes=0, axis_size=replicas))(params)


def mapped(tx):
    """Return the compiled update of all replicas; JAX checks that its result is one for all."""
    return jax.jit(jax.vmap(tx.update, axis_name="replica", out_axes=(None, 0)))


def normal(rng, replicas, dtype=np.float64):
    """Return a tree of random gradients with a leading axis of replicas."""
    return {k: jnp.asarray(rng.normal(size=(replicas, *s)), dtype) for k, s in SHAPES.items()}


@each("sign")
def test_nothing_is_lost(x64, rng, name):
    """All updates so far and the mean residual are all mean gradients so far."""
    tx = CODED[name]
    update, state = mapped(tx), started(tx, jax.tree.map(jnp.zeros, SHAPES, is_leaf=is_shape), 3)
    missing = jax.tree.map(jnp.zeros, SHAPES, is_leaf=is_shape)
    for _ in range(4):
        g = normal(rng, 3)
        u, state = update(g, state)
        missing = jax.tree.map(lambda d, g, u: d + g.mean(0) - u, missing, g, u)
    for k, d in missing.items():
        np.testing.assert_allclose(state.residual[k].mean(0), d, rtol=0, atol=1e-12)
    coded = {k for k, r in state.residual.items() if np.any(r)}
    assert coded == {"matrix", "tensor"}


def is_shape(x):
    """Say whether something in a tree of shapes is a shape."""
    return isinstance(x, tuple)


def descended(tx, centres, feedback=True):
    """Return where descent on the mean of |w - c|^2 / 2 ends, each replica with a c of its own."""

    def one(c):
        def step(carry, t):
            w, state = carry
            u, new = tx.update(w - c, state)
            return (w - u / (2 + 0.2 * t), new if feedback else state), None

        w = jnp.zeros_like(centres[0])
        return jax.lax.scan(step, (w, tx.init(w)), jnp.arange(2000.0))[0][0]

    return jax.jit(jax.vmap(one, axis_name="replica", out_axes=None))(centres)


@pytest.fixture
def centres(rng):
    """Return a centre for each of 4 replicas, far apart and lopsided."""
    return jnp.asarray(rng.exponential(size=(4, 24, 10)), jnp.float32)


@pytest.mark.slow
def test_descent_by_signs_needs_the_residual(centres):
    """With it descent arrives at the mean of the centres, without it somewhere else."""
    seeing, blind = (descended(CODED["sign"], centres, feedback) for feedback in (True, False))
    assert float(jnp.max(jnp.abs(seeing - centres.mean(0)))) < 0.01
    assert float(jnp.max(jnp.abs(blind - centres.mean(0)))) > 1.0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["int8", "top-k", "low rank"])
def test_descent_arrives_where_it_does_without_codes(centres, name):
    end = descended(CODED[name], centres)
    assert float(jnp.max(jnp.abs(end - centres.mean(0)))) < 0.01


PLAIN = 2 * 7 / 8 * 4 * 256 * 512
BOUNDS = {
    "mean": (mean_over("replica"), PLAIN),
    "int8": (int8_mean_over("replica"), 0.255 * PLAIN),
    "sign": (sign_mean_over("replica"), PLAIN / 28),
    "top-k": (top_k_mean_over("replica", 0.01), 0.081 * PLAIN),
    "low rank": (low_rank_mean_over("replica", 4), 4 * (256 + 512) / (256 * 512) * PLAIN),
}


@pytest.mark.parametrize(
    "name", ["top-k", *(pytest.param(n, marks=pytest.mark.slow) for n in BOUNDS if n != "top-k")]
)
def test_bytes_and_bits_in_a_shard_map(rng, name):
    """Bytes that each of 8 devices sends, against those of a plain mean; the same bits for all."""
    tx, bound = BOUNDS[name]
    mesh = jax.make_mesh((8,), ("replica",), axis_types=(AxisType.Auto,))
    each, shared = PartitionSpec("replica"), PartitionSpec()

    def one(g, state):
        u, state = tx.update(g[0], jax.tree.map(lambda x: x[0], state))
        return u, jax.tree.map(lambda x: x[None], state)

    g = jnp.asarray(rng.normal(size=(8, 256, 512)), jnp.float32)
    arguments = jax.device_put((g, started(tx, g[0], 8)), NamedSharding(mesh, each))
    run = jax.shard_map(one, mesh=mesh, in_specs=(each, each), out_specs=(shared, each))
    compiled = jax.jit(run).lower(*arguments).compile()
    assert 0 < sent_bytes(collectives(compiled)) <= bound
    u, state = compiled(*arguments)
    pieces = [np.asarray(shard.data) for shard in u.addressable_shards]
    assert all(np.array_equal(piece, pieces[0]) for piece in pieces)
    want = np.asarray(g).mean(0)
    if name != "mean":
        want = want - np.asarray(state.residual).mean(0)
    np.testing.assert_allclose(pieces[0], want, rtol=0, atol=1e-5)


@each("sign", "top-k")
def test_zero_and_bad_gradients(rng, name):
    """Zero comes out as zero; a nan or inf on one replica comes out, and no residual keeps it."""
    tx = CODED[name]
    g = jnp.asarray(rng.normal(size=(3, 13, 11)), jnp.float32)
    update, state = mapped(tx), started(tx, g[0], 3)
    u, state = update(jnp.zeros_like(g), state)
    assert not np.any(u)
    _, state = update(g, state)
    for bad in (jnp.nan, jnp.inf, -jnp.inf):
        u, state = update(g.at[1, 2, 3].set(bad), state)
        assert not np.isfinite(u[2, 3])
        assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves(state))
    u, state = update(g, state)
    assert np.all(np.isfinite(u))


@each("int8")
def test_a_nan_comes_out_of_a_large_array(name):
    """XLA's maximum on CPUs overlooks a nan in the middle of a large array."""
    tx, replicas = BOUNDS[name][0], 8
    g = jnp.ones((replicas, 256, 256)).at[0, 0, 2].set(jnp.nan)
    mesh = jax.make_mesh((replicas,), ("replica",), axis_types=(AxisType.Auto,))

    def one(g):
        u, state = tx.update(g[0], tx.init(g[0]))
        return u, jax.tree.map(lambda x: x[None], state)

    split = PartitionSpec("replica")
    run = jax.shard_map(one, mesh=mesh, in_specs=split, out_specs=(PartitionSpec(), split))
    u, state = jax.jit(run)(g)
    assert not np.isfinite(u[0, 2])
    assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves(state))


SPLITS = [PartitionSpec("model"), PartitionSpec(None, None, "model")]


def exchanged_in_shards(tx, g, spec, kind):
    """Return the updates of 3 steps and the residuals, each replica's array on 4 devices."""
    mesh = jax.make_mesh((2, 4), ("replica", "model"), axis_types=(kind,) * 2)
    manual = kind is AxisType.Auto
    tx = sharded(tx, spec) if manual else tx

    def one(g):
        state, updates = tx.init(g[0]), []
        for _ in range(3):
            u, state = tx.update(g[0], state)
            updates.append(u)
        return updates, state.residual[None]

    full = PartitionSpec("replica", *spec)
    each, shared = (full, spec) if manual else (PartitionSpec("replica"), PartitionSpec())
    names = {"replica", "model"} if manual else {"replica"}
    run = jax.shard_map(one, mesh=mesh, in_specs=each, out_specs=(shared, each), axis_names=names)
    with jax.set_mesh(mesh):
        return jax.jit(run)(jax.device_put(g, NamedSharding(mesh, full)))


SHARDED = [
    pytest.param(name, spec, kind, marks=() if always else pytest.mark.slow)
    for name in CODED
    for spec in SPLITS
    for kind in (AxisType.Auto, AxisType.Explicit)
    for always in [
        (name, spec, kind)
        in (
            ("low rank", SPLITS[0], AxisType.Auto),
            ("int8", SPLITS[1], AxisType.Explicit),
        )
    ]
]


@pytest.mark.parametrize(("name", "spec", "kind"), SHARDED)
def test_arrays_that_are_split_over_another_axis(rng, name, spec, kind):
    """Split over a manual or an explicit axis: nothing is lost, and factors are those of all."""
    tx = CODED[name]
    g = jnp.asarray(rng.normal(size=(2, 4, 10, 24)), jnp.float32)
    updates, residual = exchanged_in_shards(tx, g, spec, kind)
    total = np.sum([np.asarray(u) for u in updates], axis=0)
    want = 3 * np.asarray(g).mean(0)
    np.testing.assert_allclose(total + np.asarray(residual).mean(0), want, rtol=0, atol=1e-5)
    if name == "low rank":
        update, state = mapped(tx), started(tx, g[0], 2)
        for u in updates:
            whole, state = update(g, state)
            np.testing.assert_allclose(u, whole, rtol=0, atol=1e-5)


def test_narrow_gradients_have_a_wide_residual():
    tx = CODED["int8"]
    g = jnp.full((3, 130), 0.1, jnp.bfloat16)
    u, state = mapped(tx)(g, started(tx, g[0], 3))
    assert u.dtype == jnp.bfloat16
    assert state.residual.dtype == jnp.float32


@pytest.mark.slow
def test_complex_gradients_go_in_two_parts(rng):
    g = jnp.asarray(rng.normal(size=(3, 50)) + 1j * rng.normal(size=(3, 50)), jnp.complex64)
    tx = CODED["int8"]
    u, state = mapped(tx)(g, started(tx, g[0], 3))
    assert np.any(state.residual)
    np.testing.assert_allclose(u + state.residual.mean(0), g.mean(0), rtol=0, atol=1e-6)


@pytest.mark.slow
def test_low_rank_finds_a_matrix_of_that_rank(rng):
    """The factor that is kept makes one power iteration a step enough."""
    m = rng.normal(size=(40, 2)) @ rng.normal(size=(2, 30))
    g = jnp.asarray(np.stack([m, 2 * m, 3 * m]), jnp.float32)
    tx = low_rank_mean_over("replica", 2)
    u, state = mapped(tx)(g, started(tx, g[0], 3))
    np.testing.assert_allclose(u, 2 * m, rtol=0, atol=1e-4)
    assert [c.shape for c in state.columns] == [(3, 1, 30)] * 2


@pytest.mark.slow
def test_a_coded_outer_gradient():
    """Local steps whose synchronisations are sent in 8 bits: replicas still agree bit for bit."""
    tx = diloco(gx.sgd(0.1), every=2, exchange=int8_mean_over("replica"))
    axes = type(tx.init(jnp.zeros(2))).layout(each=0, shared=None)
    w = jnp.linspace(-1, 1, 300)
    state = jax.vmap(tx.init, in_axes=None, out_axes=axes, axis_size=4)(w)
    centres = jnp.linspace(0, 3, 4 * 300).reshape(4, 300)

    def one(w, state, c):
        return tx.step(w - c, state, w)

    step = jax.jit(jax.vmap(one, axis_name="replica", in_axes=(0, axes, 0), out_axes=(0, axes)))
    w = jnp.stack([w] * 4)
    for _ in range(2):
        w, state = step(w, state, centres)
    assert np.all(w == w[:1])
    assert np.any(state.exchange_state[0].residual)


@pytest.mark.parametrize("tx", [*CODED.values(), mean_over("replica"), mean_over(("a", "b"))])
def test_is_a_value(tx):
    assert pickle.loads(pickle.dumps(tx)) == tx
    assert gx.from_config(json.loads(json.dumps(tx.to_config()))) == tx
    assert eval(repr(tx), vars(gx.sharding)) == tx


@pytest.mark.parametrize("tx", [*CODED.values(), mean_over("replica")])
def test_the_axis_must_be_bound(tx):
    with pytest.raises(ValueError, match=r"'replica' must be bound.*shard_map.*jax.vmap"):
        tx.update(jnp.ones(3), tx.init(jnp.ones(3)))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: int8_mean_over(("a", "b")), TypeError, "must be the name of one axis"),
        (lambda: sign_mean_over("a", 0), ValueError, "`block_size` must be an integer in \\[1"),
        (lambda: top_k_mean_over("a", 0.0), ValueError, "`fraction` must be .* in \\(0, 1\\]"),
        (lambda: low_rank_mean_over("a", 0), ValueError, "`rank` must be an integer in \\[1"),
        (lambda: mean_over(None), TypeError, "must be an axis name or a tuple of names"),
    ],
)
def test_arguments_are_checked(make, error, message):
    with pytest.raises(error, match=message):
        make()
