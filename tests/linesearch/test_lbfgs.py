"""The L-BFGS direction against the dense BFGS matrix, exact termination, and its state."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

import gradtx as gx
from gradtx.testing import gradient_sequence


def dense(params, gradients, m, scaled=True):
    """Return the direction of the last step by eq. 6.17 and 7.20 of Nocedal and Wright."""
    n, pairs = (
        len(params[0]),
        [*zip(*(np.diff(x, axis=0) for x in (params, gradients)), strict=True)],
    )
    if not pairs:
        return gradients[-1] * (min(1, 1 / np.linalg.norm(gradients[-1])) if scaled else 1)
    s, y = pairs[-1]
    h = np.eye(n) * ((s @ y) / (y @ y) if scaled else 1)
    for s, y in pairs[-m:]:
        v = np.eye(n) - np.outer(y, s) / (s @ y)
        h = v.T @ h @ v + np.outer(s, s) / (s @ y)
    return h @ gradients[-1]


@pytest.mark.parametrize(
    ("m", "scaled"), [(3, True), pytest.param(1, False, marks=pytest.mark.slow)]
)
def test_formula(m, scaled, x64):
    ws, gs = np.array(gradient_sequence((7,), 8)), np.array(gradient_sequence((7,), 8, seed=1))
    tree = lambda v: {"a": jnp.asarray(v[:4]).reshape(2, 2), "b": jnp.asarray(v[4:])}  # noqa: E731
    tx = gx.scale_by_lbfgs(m, scaled)
    state, update = tx.init(tree(ws[0])), jax.jit(tx.update)
    for t in range(8):
        u, state = update(tree(gs[t]), state, tree(ws[t]))
        got = np.concatenate([np.ravel(u["a"]), u["b"]])
        want = dense(ws[: t + 1], gs[: t + 1], m, scaled)
        np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-9 * np.abs(want).max())
    assert state.count == 8
    assert update._cache_size() <= 1  # 0 if a long run of tests has driven it out


def test_a_parabola_takes_as_many_steps_as_dimensions(x64):
    """With exact steps it is the method of conjugate gradients."""
    a = jnp.diag(jnp.array([1.0, 10.0, 3.0, 100.0, 30.0])) + 0.1
    tx, w = gx.scale_by_lbfgs(5), jnp.array([1.0, -2.0, 0.5, 1.0, 3.0])
    state, norms = tx.init(w), []
    for _ in range(5):
        g = a @ w
        u, state = tx.update(g, state, w)
        w = w - (g @ u) / (u @ a @ u) * u
        norms.append(float(jnp.linalg.norm(a @ w)))
    assert norms[3] > 1e-3 and norms[4] < 1e-8


def test_first_step_is_no_longer_than_one():
    tx, w = gx.scale_by_lbfgs(), jnp.zeros(2)
    update = jax.jit(tx.update)
    np.testing.assert_allclose(update(jnp.array([3.0, 4.0]), tx.init(w), w)[0], [0.6, 0.8], 1e-6)
    np.testing.assert_allclose(update(jnp.array([0.3, 0.4]), tx.init(w), w)[0], [0.3, 0.4], 1e-6)
    assert jnp.all(update(w, tx.init(w), w)[0] == 0)


def test_no_change_counts_for_nothing():
    """A step of 0, as a search without success takes, leaves a finite direction."""
    tx, w, g = gx.scale_by_lbfgs(3), jnp.array([1.0, 2.0]), jnp.array([0.5, -0.5])
    _, state = tx.update(g, tx.init(w), w)
    u, state = tx.update(g, state, w)
    np.testing.assert_array_equal(u, g)
    assert jnp.all(state.weights_memory == 0)


@pytest.mark.slow
def test_complex_is_real_and_imaginary_part(rng, x64):
    zs, gs = rng.normal(size=(2, 5, 4)) + 1j * rng.normal(size=(2, 5, 4))
    tx = gx.scale_by_lbfgs(3)
    state, other = tx.init(jnp.asarray(zs[0])), tx.init(jnp.zeros((2, 4)))
    for z, g in zip(zs, gs, strict=True):
        u, state = tx.update(jnp.asarray(g), state, jnp.asarray(z))
        v, other = tx.update(jnp.stack([g.real, g.imag]), other, jnp.stack([z.real, z.imag]))
        np.testing.assert_allclose(u, jax.lax.complex(v[0], v[1]), rtol=1e-12)
    assert state.weights_memory.dtype == "float64"


def test_abstract_parameters():
    tx, w = gx.scale_by_lbfgs(4), {"w": jax.ShapeDtypeStruct((2, 3), "bfloat16"), "n": None}
    state = tx.init(w)
    assert state.diff_updates_memory == {"w": jax.ShapeDtypeStruct((4, 2, 3), "float32"), "n": None}
    assert state.params["w"] == w["w"] and state.count.dtype == "int32"


@pytest.mark.slow
def test_sums_go_over_all_shards():
    """Inside shard_map, each device with its part of the rows and all of the other array."""
    mesh = jax.make_mesh((8,), ("d",), axis_types=(AxisType.Auto,))
    w = {"rows": jnp.linspace(-1, 1, 48).reshape(16, 3), "all": jnp.linspace(0, 1, 5)}
    specs = {"rows": P("d"), "all": P()}

    def loss(w, total):
        both = total(jnp.sum(w["rows"] ** 2)) + jnp.sum(w["all"])
        return both**2 / 10 + total(jnp.sum(jnp.cosh(w["rows"]))) + jnp.sum(jnp.cosh(w["all"]))

    def fit(tx, total, w):
        of_w = lambda w: loss(w, total)  # noqa: E731
        state, value_and_grad = tx.init(w), gx.value_and_grad_from_state(of_w)
        for _ in range(6):
            value, grad = value_and_grad(w, state=state)
            w, state = tx.step(grad, state, w, value=value, grad=grad, value_fn=of_w)
        return w, state[0].weights_memory, state[2].learning_rate

    tx = gx.lbfgs(memory_size=3)
    sharded = functools.partial(fit, gx.sharding.sharded(tx, specs), lambda x: jax.lax.psum(x, "d"))
    out = (specs, P(), P())
    got = jax.jit(jax.shard_map(sharded, mesh=mesh, in_specs=(specs,), out_specs=out))(w)
    want = jax.jit(functools.partial(fit, tx, lambda x: x))(w)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4), got, want)


def test_messages():
    tx, w = gx.scale_by_lbfgs(3), {"w": jnp.ones(2)}
    with pytest.raises(ValueError, match="scale_by_lbfgs needs the parameters"):
        tx.update(w, tx.init(w))
    with pytest.raises(ValueError, match="must be a ScaleByLBFGSState"):
        tx.update(w, gx.EmptyState(), w)
    with pytest.raises(
        ValueError, match=r"`diff_params_memory` at \['w'\] must have the shape \[3, 4\]"
    ):
        tx.update({"w": jnp.ones(4)}, tx.init(w), {"w": jnp.ones(4)})
    with pytest.raises(ValueError, match="`memory_size` must be an integer in"):
        gx.scale_by_lbfgs(0)
