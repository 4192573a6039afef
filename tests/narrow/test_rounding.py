"""Parameters of 16 bits: each way of rounding against NumPy, and what keeps them moving."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

import gradtx as gx
from gradtx._narrow.narrow import at_random, halved, joined, nearest

METHODS = ("stochastic", "kahan", "split")
BF16 = jnp.bfloat16


def numbers(rng, dtype, count=20_000):
    """Return float32 numbers of all sizes that the format has, and some special ones."""
    low, high = {"bfloat16": (-37, 38), "float16": (-8, 4.7)}[dtype]
    x = 10.0 ** rng.uniform(low, high, count) * rng.choice([-1, 1], count)
    return np.concatenate([x, [0.0, -0.0, 1.0, np.inf, -np.inf]]).astype(np.float32)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_to_nearest_is_the_cast_of_numpy(rng, dtype):
    x = numbers(rng, dtype)
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(nearest(x, dtype), x.astype(dtype).astype(np.float32))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_at_random_takes_a_neighbour_and_is_right_on_average(rng, dtype, key):
    """P(up) is how far x is on the way; what the format has stays."""
    x = numbers(rng, dtype, 40)
    keys = jax.random.split(key, 4000)
    drawn = np.asarray(jax.vmap(lambda k: at_random(jnp.asarray(x), dtype, k))(keys), float)
    np.testing.assert_array_equal(drawn, drawn.astype(dtype).astype(float))
    below, above = drawn.min(axis=0), drawn.max(axis=0)
    inside = np.isfinite(x) & (above > below)
    gap = np.subtract(above, below, out=np.ones(len(x)), where=inside)
    assert np.all(above[~inside] == x[~inside])
    x, below, gap, drawn = (a[..., inside].astype(float) for a in (x, below, gap, drawn))
    share = (x - below) / gap
    assert np.all((share > 0) & (share < 1))
    error = (np.mean(drawn == below + gap, axis=0) - share) / np.sqrt(share * (1 - share) / 4000)
    assert np.max(np.abs(error)) < 4.5
    assert 0.5 < np.std(error) < 1.5


def test_random_bits_of_neighbours_and_of_steps_are_independent(key):
    """Halfway between two numbers each entry is a fair coin, and knows of no other."""
    x = jnp.full((64, 65), 1.0 + 2.0**-8)
    keys = jax.random.split(key, 200)
    up = np.asarray(jax.vmap(lambda k: at_random(x, "bfloat16", k) > 1.0)(keys), float) * 2 - 1
    pairs = [(up[:-1], up[1:]), (up[:, :-1], up[:, 1:]), (up[:, :, :-1], up[:, :, 1:])]
    for a, b in [*pairs, (up, np.ones_like(up))]:
        assert abs(np.mean(a * b)) < 4.5 / np.sqrt(a.size)


def test_halves_are_nearest_and_lossless(rng):
    bits = rng.integers(0, 2**32, 100_000, dtype=np.uint32)
    x = np.concatenate([bits.view(np.float32), numbers(rng, "bfloat16", 10)])
    x = x[~(np.abs(x) < 2e-38) | (x == 0)]  # XLA takes smaller ones for 0
    upper, lower = halved(jnp.asarray(x))
    back = joined(upper.astype(BF16), lower)
    np.testing.assert_array_equal(back, x)
    with np.errstate(over="ignore", invalid="ignore"):
        rounded = x.astype(BF16).astype(np.float32)
    ties = (x.view(np.uint32) & 0xFFFF) == 0x8000
    np.testing.assert_array_equal(np.asarray(upper)[~ties], rounded[~ties])
    assert joined(jnp.zeros([], BF16), jnp.uint16(0xFFFF)) == 0.0  # somebody else set it to 0


@pytest.mark.parametrize(
    ("method", "off"), [("nearest", 1.0), ("stochastic", 0.01), ("kahan", 0.05), ("split", 0.001)]
)
def test_ten_thousand_small_updates_move_by_their_sum(method, off):
    """From 1 by 1e-4 to 2; a spacing of bfloat16 is 0.008 there."""
    tx = gx.sgd(1.0)
    tx = tx if method == "nearest" else gx.with_rounding(tx, method)
    w, g = jnp.ones(1000, BF16), jnp.full(1000, -1e-4)

    def one(_, carry):
        return tx.step(g, carry[1], carry[0])

    w, _ = jax.jit(lambda: jax.lax.fori_loop(0, 10_000, one, (w, tx.init(w))))()
    w = np.asarray(w, float)
    assert abs(np.mean(w) - 2.0) <= off
    assert (np.std(w) > 0.05) == (method == "stochastic")
    assert method != "nearest" or np.all(w == 1.0)


def test_kahan_against_numpy(rng):
    tx, w = gx.with_rounding(gx.scale(1.0), "kahan"), rng.normal(size=50).astype(BF16)
    g = rng.normal(0.0, 1e-3, (100, 50)).astype(np.float32)
    step, got, state = jax.jit(tx.step), jnp.asarray(w), tx.init(jnp.asarray(w))
    lost = np.zeros(50)
    for u in g:
        exact = w.astype(float) + (u + lost)
        w = exact.astype(BF16)
        lost = (exact - w.astype(float)).astype(BF16).astype(float)
        got, state = step(jnp.asarray(u), state, got)
    assert state.lost.dtype == BF16
    np.testing.assert_allclose(np.asarray(got, float), w.astype(float), rtol=2**-8)
    total = np.asarray(got, float) + np.asarray(state.lost, float)
    np.testing.assert_allclose(total, w.astype(float) + lost, atol=2**-13)


@pytest.mark.parametrize("make", [gx.adamw, pytest.param(gx.lion, marks=pytest.mark.slow)])
def test_split_is_training_in_float32(rng, make):
    """Bit for bit, weight decay included: the parameters are those of float32, rounded."""
    tx = make(1e-3)
    split = gx.with_rounding(tx, "split")
    w = jnp.asarray(rng.normal(size=(40, 30)), BF16)
    narrow, wide = {"w": w}, {"w": w.astype("float32")}
    state, other = split.init(narrow), tx.init(wide)
    step, plain = jax.jit(split.step), jax.jit(tx.step)
    for _ in range(5):
        g = {"w": jnp.asarray(rng.normal(size=(40, 30)), jnp.float32)}
        narrow, state = step(g, state, narrow)
        wide, other = plain(g, other, wide)
        np.testing.assert_array_equal(joined(narrow["w"], state.low["w"]), wide["w"])
    ties = np.asarray(wide["w"]).view(np.uint32) & 0xFFFF == 0x8000
    assert np.all((narrow["w"] == wide["w"].astype(BF16)) | ties)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", ["bfloat16", pytest.param("float32", marks=pytest.mark.slow)])
def test_update_leads_to_the_parameters_of_step(rng, method, dtype):
    """Exactly, where no parameter moves to below half or above twice of itself."""
    tx = gx.with_rounding(gx.adamw(0.01), method)
    w = jnp.asarray(rng.uniform(1.0, 3.0, 1000) * rng.choice([-1, 1], 1000), BF16)
    params = stepped = {"w": w, "zero": jnp.zeros(3, BF16), "wide": jnp.ones(3)}
    state = other = tx.init(params)
    for _ in range(3):
        g = jax.tree.map(lambda p: jnp.asarray(rng.normal(size=p.shape), dtype), params)
        updates, state = tx.update(g, state, params)
        assert {u.dtype for u in jax.tree.leaves(updates)} == {jnp.dtype(dtype)}
        params = gx.apply_updates(params, updates)
        stepped, other = tx.step(g, other, stepped)
        del params["zero"], stepped["zero"]
        jax.tree.map(np.testing.assert_array_equal, params, stepped)
        params["zero"] = stepped["zero"] = jnp.zeros(3, BF16)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_one_device_and_many_have_the_same_bits(rng, method, mesh):
    tx = gx.with_rounding(gx.sgd(2.0**-8), method)
    params = {"w": jnp.asarray(rng.normal(size=(8, 16)), BF16), "b": jnp.ones(16, BF16)}
    g = jax.tree.map(lambda p: jnp.full(p.shape, 0.3, BF16), params)
    placed = jax.tree.map(
        lambda x: jax.device_put(x, NamedSharding(mesh, PartitionSpec(*mesh.axis_names[: x.ndim]))),
        (params, g),
    )
    results = []
    for p, grads in ((params, g), placed):
        state, step = tx.init(p), jax.jit(tx.step)
        for _ in range(3):
            p, state = step(grads, state, p)
        results.append(jax.device_get((p, state.inner_state)))
    jax.tree.map(np.testing.assert_array_equal, *results)


@pytest.mark.parametrize("method", METHODS)
def test_parameters_of_32_bits_pass_and_have_no_state(method):
    tx, plain = gx.with_rounding(gx.adamw(0.1), method), gx.adamw(0.1)
    params = {"w": jnp.ones(3), "z": jnp.ones(2, jnp.complex64), "n": jnp.int32(3)}
    g = {"w": jnp.ones(3) / 3, "z": jnp.ones(2, jnp.complex64), "n": None}
    state = tx.init(params)
    if method != "stochastic":
        assert jax.tree.leaves(state[0]) == []
    jax.tree.map(
        np.testing.assert_array_equal,
        tx.step(g, state, params)[0],
        plain.step(g, plain.init(params), params)[0],
    )


def test_the_key_decides_and_only_steps_count():
    params = {"w": jnp.ones(1000, BF16)}
    g = {"w": jnp.full(1000, 1e-3)}

    def moved(**chosen):
        tx = gx.with_rounding(gx.sgd(1.0), "stochastic", **chosen)
        return tx.step(g, tx.init(params), params)[0]["w"] != 1

    assert bool(jnp.all(moved(seed=1) == moved(key=jax.random.key(1))))
    assert bool(jnp.any(moved(seed=1) != moved(seed=2)))
    for tx in (
        gx.accumulate(gx.with_rounding(gx.sgd(1.0), "stochastic"), 3),
        gx.with_rounding(gx.accumulate(gx.sgd(1.0), 3), "stochastic"),
    ):
        p, state, step = params, tx.init(params), jax.jit(tx.step)
        for t in range(3):
            assert bool(jnp.all(p["w"] == 1))
            p, state = step(g, state, p)
            counts = {int(x.count) for x in (state, getattr(state, "inner_state", None)) if x}
            assert counts == {(t + 1) // 3}
        assert bool(jnp.any(p["w"] != 1))


def test_not_finite_steps_and_what_follows():
    for method in METHODS:
        tx = gx.with_rounding(gx.sgd(1.0), method)
        w = jnp.ones(3, BF16)
        w, state = tx.step(jnp.array([jnp.inf, jnp.nan, 1.0]), tx.init(w), w)
        np.testing.assert_array_equal(np.asarray(w, float), [-np.inf, np.nan, 0.0])
        w, _ = tx.step(jnp.ones(3), state, jnp.ones(3, BF16))
        assert np.isfinite(np.asarray(w, float)[2])


def test_derivatives_pass_through_the_rounding():
    for method in METHODS:
        tx, w = gx.with_rounding(gx.sgd(0.5), method), jnp.ones(3, BF16)

        def moved(g, tx=tx, w=w):
            return jnp.sum(tx.step(g, tx.init(w), w)[0].astype("float32"))

        np.testing.assert_allclose(jax.grad(moved)(jnp.ones(3)), -0.5)


@pytest.mark.parametrize(("method", "bytes_each"), [("stochastic", 0), ("kahan", 4), ("split", 4)])
def test_temporaries(method, bytes_each):
    """Of two results that overwrite their parameter and state, XLA on CPU stores the exact one."""
    params = {f"w{i}": jnp.zeros((128, 128), BF16) for i in range(4)}
    tx = gx.with_rounding(gx.adamw(0.1), method)

    def train(params, state, gradients):
        return tx.step(gradients, state, params)

    state = jax.eval_shape(tx.init, params)
    lowered = jax.jit(train, donate_argnums=(0, 1)).lower(params, state, params)
    size = sum(p.size for p in params.values())
    temporary = lowered.compile().memory_analysis().temp_size_in_bytes
    assert temporary < bytes_each * size + 20_000


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: gx.with_rounding(gx.sgd(0.1), "up"), ValueError, "`method` must be one of"),
        (lambda: gx.with_rounding(gx.sgd, "split"), TypeError, "Was a constructor not called"),
        (
            lambda: gx.with_rounding(gx.sgd(0.1), "stochastic", 1, seed=1),
            ValueError,
            "only one of `key` and `seed`",
        ),
        (
            lambda: gx.with_rounding(gx.sgd(0.1), "kahan", seed=1),
            ValueError,
            'only "stochastic" draws numbers',
        ),
        (
            lambda: gx.with_rounding(gx.sgd(0.1), "split").init({"w": jnp.ones(2, jnp.float16)}),
            ValueError,
            r'the parameter at \[\'w\'\] is float16\[2\], but "split" needs bfloat16',
        ),
    ],
)
def test_errors(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_errors_on_update():
    tx, w = gx.with_rounding(gx.sgd(0.1), "split"), jnp.ones(2, BF16)
    with pytest.raises(ValueError, match="with_rounding needs the parameters"):
        tx.update(w, tx.init(w))
    with pytest.raises(ValueError, match="must hold the lower bits of the parameter at"):
        tx.step(w, tx.init(w.astype("float32")), w)
