"""The line search for the strong Wolfe conditions, and what it does where they cannot hold."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx

both_modes = pytest.mark.parametrize(
    "mode",
    [pytest.param(jax.jit, marks=pytest.mark.slow), lambda f: f],
    ids=["jit", "eager"],
)


def searched(tx, loss, w, state=None, u=None, **extra):
    """Return the update and the state of one search, along the steepest descent or along u."""
    state = tx.init(w) if state is None else state
    value, grad = jax.value_and_grad(loss)(w)
    u = jax.tree.map(jnp.negative, grad) if u is None else u
    return tx.update(u, state, w, **{"value": value, "grad": grad, "value_fn": loss} | extra)


def more_thuente_1(a):
    return -a / (a**2 + 2)


def more_thuente_2(a):
    return (a + 0.004) ** 5 - 2 * (a + 0.004) ** 4


def more_thuente_4(a):
    """Return the function of Yanai et al. with beta_1 = beta_2 = 0.001: steep at 0, flat beyond."""
    g = np.sqrt(1 + 0.001**2) - 0.001
    return g * jnp.sqrt((1 - a) ** 2 + 0.001**2) + g * jnp.sqrt(a**2 + 0.001**2)


def steep(a):
    return jnp.cosh(40 * (a - 0.3))


# The functions of More and Thuente 1994, section 5, with their c1, c2 and first steps.
LINES = [
    (more_thuente_1, 1e-3, 0.1),
    pytest.param(more_thuente_2, 0.1, 0.1, marks=pytest.mark.slow),
    pytest.param(more_thuente_4, 1e-3, 1e-3, marks=pytest.mark.slow),
    pytest.param(steep, 1e-4, 0.9, marks=pytest.mark.slow),
    pytest.param(jnp.square, 1e-4, 0.9, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("f", "c1", "c2"), LINES)
def test_strong_wolfe_conditions(f, c1, c2, x64):
    """They hold at the step, from first steps of a thousandth to a thousand."""
    tx = gx.scale_by_zoom_linesearch(
        40, slope_rtol=c1, curv_rtol=c2, approx_dec_rtol=None, stepsize_precision=0.0
    )
    offset = 0.7 if f is jnp.square else 0.0
    line = lambda w: f(w - offset)  # noqa: E731
    search = jax.jit(lambda w, state: searched(tx, line, w, state, u=jnp.ones(())))
    value, slope = jax.value_and_grad(line)(0.0)
    for guess in (1e-3, 0.1, 10.0, 1e3):
        state = tx.init(jnp.zeros(()))._replace(learning_rate=jnp.asarray(guess))
        a, state = search(jnp.zeros(()), state)
        assert line(a) <= value + c1 * a * slope
        assert abs(jax.grad(line)(a)) <= c2 * abs(slope)
        assert state.info.decrease_error == state.info.curvature_error == 0
        assert state.learning_rate == a > 0
        np.testing.assert_allclose(state.value, line(a), rtol=1e-14)
        np.testing.assert_allclose(state.grad, jax.grad(line)(a), rtol=1e-12, atol=1e-12)


def bowl(w):
    return sum(jnp.sum(jnp.cosh(x)) for x in jax.tree.leaves(w))


TREE = {"a": jnp.array([1.0, -2.0]), "b": jnp.array(0.5)}


def test_state_is_at_the_new_parameters():
    tx = gx.chain(gx.scale(-1.0), gx.scale_by_zoom_linesearch(10))
    value, grad = jax.value_and_grad(bowl)(TREE)
    w, state = tx.step(grad, tx.init(TREE), TREE, value=value, grad=grad, value_fn=bowl)
    np.testing.assert_allclose(state[1].value, bowl(w), rtol=1e-6)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, 1e-6), state[1].grad, jax.grad(bowl)(w)
    )


@pytest.mark.parametrize("dtype", [pytest.param("float16", marks=pytest.mark.slow), "bfloat16"])
def test_value_is_that_of_the_rounded_parameters(dtype):
    w = jnp.array([1.0, -2.0, 0.3]).astype(dtype)
    loss = lambda w: jnp.sum(jnp.cosh(w.astype("float32")))  # noqa: E731
    tx = gx.chain(gx.scale(-1.0), gx.scale_by_zoom_linesearch(10))

    @jax.jit
    def step(w, state):
        value, grad = jax.value_and_grad(loss)(w)
        return tx.step(grad, state, w, value=value, grad=grad, value_fn=loss)

    new, state = step(w, tx.init(w))
    assert new.dtype == dtype and state[1].value.dtype == "float32"
    np.testing.assert_allclose(state[1].value, loss(new), rtol=1e-6)


def test_slopes_decide_where_values_drown_in_rounding():
    """At 1e-4 from the minimum of 1 + w^2 / 2 all values are 1 in float32."""
    loss, w = (lambda w: 1 + jnp.square(w - 1) / 2), jnp.float32(1 + 1e-4)
    u, state = searched(gx.scale_by_zoom_linesearch(10), loss, w)
    assert abs(w + u - 1) < 2e-7 and state.info.decrease_error == 0


def test_linear_loss_goes_to_the_longest_step():
    tx = gx.scale_by_zoom_linesearch(20, max_learning_rate=5.0)
    u, state = searched(tx, lambda w: 3 * w, jnp.float32(1.0))
    assert u == -15 and state.learning_rate == 5 and state.info.curvature_error > 0
    assert state.info.num_linesearch_steps == 4  # 1, 2, 4, 5
    u, _ = searched(gx.scale_by_zoom_linesearch(4), lambda w: 3 * w, jnp.float32(1.0))
    assert u == -24  # no limit but that of the trials


def test_trials_that_run_out_leave_the_best_step_with_enough_decrease():
    tx = gx.scale_by_zoom_linesearch(2, curv_rtol=1e-6)
    loss, w = (lambda w: jnp.cosh(w)), jnp.float32(2.0)
    u, state = searched(tx, loss, w)
    assert loss(w + u) == state.value < loss(w)
    assert state.info.curvature_error > 0


@both_modes
def test_no_step_where_none_lowers_the_loss(mode):
    """Up the hill Optax ends with a step that raises the loss; here nothing moves."""
    tx = gx.scale_by_zoom_linesearch(6)
    w = jnp.array([1.0, 2.0])
    u, state = mode(lambda w: searched(tx, bowl, w, u=jax.grad(bowl)(w)))(w)
    assert jnp.all(u == 0) and state.value == bowl(w) and state.info.decrease_error > 0
    np.testing.assert_allclose(state.grad, jax.grad(bowl)(w))


@both_modes
def test_nan_takes_no_step_and_is_forgotten(mode):
    tx, w = gx.scale_by_zoom_linesearch(6), jnp.array([1.0, 2.0])
    nan = mode(lambda w: searched(tx, lambda w: jnp.nan * bowl(w), w))
    u, state = nan(w)
    assert jnp.all(u == 0) and state.learning_rate == 1 and state.info.num_linesearch_steps == 0
    u, state = mode(lambda w, state: searched(tx, bowl, w, state))(w, state)
    assert bowl(w + u) == state.value < bowl(w)


def test_steps_out_of_the_domain_are_shortened():
    loss, w = (lambda w: w - jnp.log(w)), jnp.float32(3.0)  # nan for w < 0
    u, state = searched(gx.scale_by_zoom_linesearch(20), loss, w, u=jnp.float32(-9.0))
    assert 0 < w + u < w and state.value < loss(w)


def test_infinite_curv_rtol_asks_for_the_decrease_alone():
    u, state = searched(gx.scale_by_zoom_linesearch(9, curv_rtol=jnp.inf), jnp.square, jnp.ones(()))
    assert u == -2 * state.learning_rate and state.info.curvature_error == 0
    zero = searched(gx.scale_by_zoom_linesearch(9, curv_rtol=jnp.inf), jnp.square, jnp.zeros(()))
    assert zero[0] == 0 and zero[1].info.num_linesearch_steps == 1


def test_first_guess():
    w, u = jnp.float32(64.0), jnp.float32(-1.0)
    keep, one = (gx.scale_by_zoom_linesearch(20, initial_guess_strategy=s) for s in ("keep", "one"))
    _, state = searched(keep, jnp.square, w, u=u)
    assert state.learning_rate > 2
    assert searched(keep, jnp.square, w, state, u=u)[1].info.num_linesearch_steps == 1
    assert searched(one, jnp.square, w, state, u=u)[1].info.num_linesearch_steps > 1
    stuck = state._replace(learning_rate=jnp.float32(0))
    assert searched(keep, jnp.square, w, stuck, u=u)[1].learning_rate > 0


def test_value_fn_gets_the_extra_arguments_it_takes():
    def loss(w, x, *, scale=1.0):
        return scale * jnp.sum((w - x) ** 2)

    w, x = jnp.ones(3), jnp.arange(3.0)
    value, grad = jax.value_and_grad(loss)(w, x, scale=3.0)
    tx = gx.scale_by_zoom_linesearch(20)
    given = {"value": value, "grad": grad, "value_fn": loss, "x": x, "scale": 3.0, "other": None}
    u, state = tx.update(-grad, tx.init(w), w, **given)
    np.testing.assert_allclose(state.value, loss(w + u, x, scale=3.0), atol=1e-6)
    anything = given | {"value_fn": lambda w, **rest: loss(w, rest["x"], scale=rest["scale"])}
    np.testing.assert_array_equal(tx.update(-grad, tx.init(w), w, **anything)[0], u)
    del given["x"]
    with pytest.raises(TypeError, match=r"takes, \['scale'\]: missing a required argument: 'x'"):
        tx.update(-grad, tx.init(w), w, **given)


def test_python_numbers_will_do():
    u, _ = searched(gx.scale_by_zoom_linesearch(9), jnp.square, jnp.float32(3.0), value=9.0)
    assert abs(3 + u) < 3


def test_messages():
    tx, w = gx.scale_by_zoom_linesearch(9), jnp.ones(2)
    state, good = tx.init(w), {"value": 1.0, "grad": w, "value_fn": bowl}
    with pytest.raises(ValueError, match="scale_by_zoom_linesearch needs the parameters"):
        tx.update(w, state, **good)
    for name in good:
        with pytest.raises(TypeError, match=f"needs the extra argument `{name}`"):
            tx.update(w, state, w, **{k: x for k, x in good.items() if k != name})
    with pytest.raises(ValueError, match=r"`value` must be one real number.*float32\[2\]"):
        tx.update(w, state, w, **good | {"value": w})
    with pytest.raises(TypeError, match="`value_fn` must return a real scalar"):
        tx.update(w, state, w, **good | {"value_fn": jnp.cosh})
    with pytest.raises(TypeError, match=r"returns a tuple around float32\[\]\. .*further values"):
        tx.update(w, state, w, **good | {"value_fn": lambda w: (bowl(w), None)})
    with pytest.raises(TypeError, match=r"`value_fn` must be a function.*called already"):
        tx.update(w, state, w, **good | {"value_fn": 1.0})
    with pytest.raises(ValueError, match="its state must be a ScaleByZoomLinesearchState"):
        tx.update(w, gx.EmptyState(), w, **good)
    with pytest.raises(ValueError, match="`initial_guess_strategy` must be 'one' or 'keep'"):
        gx.scale_by_zoom_linesearch(9, initial_guess_strategy="last")
    with pytest.raises(ValueError, match="`increase_factor` must be"):
        gx.scale_by_zoom_linesearch(9, increase_factor=1.0)


@both_modes
def test_verbose_says_why(mode, capfd):
    search = gx.scale_by_zoom_linesearch
    uphill = mode(lambda w: searched(search(2, verbose=True), bowl, w, u=jax.grad(bowl)(w)))
    jax.block_until_ready(uphill(jnp.ones(2)))
    jax.effects_barrier()
    assert "so none is taken. The slope along the updates is 2.76" in capfd.readouterr().out
    flat = mode(lambda w: searched(search(2, max_learning_rate=2.0, verbose=True), jnp.sum, w))
    jax.block_until_ready(flat(jnp.ones(2)))
    jax.effects_barrier()
    assert "the step 2.0 lowers the loss from 2.0 to -2.0" in capfd.readouterr().out
    fine = mode(lambda w: searched(search(9, verbose=True), bowl, w))
    jax.block_until_ready(fine(jnp.ones(2)))
    jax.effects_barrier()
    assert capfd.readouterr().out == ""


def test_eager_steps_compile_nothing_for_another_loss():
    """Each batch has a `value_fn` of its own: outside jit the loop is one of Python."""
    from tests.core.test_fusion import counted

    tx, w = gx.scale_by_zoom_linesearch(9), jnp.array([1.0, 2.0])
    losses = [lambda w, c=c: jnp.sum(jnp.cosh(w) * c) for c in (jnp.ones(2), 2 * jnp.ones(2))]
    searched(tx, losses[0], w)
    with counted("jaxpr_to_mlir_module_duration") as lowered:
        searched(tx, losses[1], w)
    assert lowered == []


def test_leaves_that_nothing_trains_pass():
    w = {"w": jnp.array([1.0, 2.0]), "n": jnp.arange(2), "none": None}
    loss = lambda w: jnp.sum(w["n"].astype("float32") * w["w"] ** 2)  # noqa: E731
    value, grad = jax.value_and_grad(loss, allow_int=True)(w)
    tx = gx.chain(gx.scale(-1.0), gx.scale_by_zoom_linesearch(20))
    new, state = tx.step(grad, tx.init(w), w, value=value, grad=grad, value_fn=loss)
    assert state[1].grad["n"] is None and state[1].value < value
    np.testing.assert_array_equal(new["n"], w["n"])


@pytest.mark.slow
def test_complex_parameters_descend_as_two_real_ones():
    """The gradient goes in conjugated, as everywhere; the state has it as jax.grad returns it."""
    target = jnp.array([1 + 2j, -0.5j])
    loss = lambda z: jnp.sum(jnp.cosh(jnp.real(z - target)) + jnp.cosh(2 * jnp.imag(z - target)))  # noqa: E731
    z, tx = jnp.array([1 + 1j, 2 - 1j]), gx.chain(gx.scale(-1.0), gx.scale_by_zoom_linesearch(20))
    value, grad = jax.value_and_grad(loss)(z)
    grad = jnp.conj(grad)
    new, state = tx.step(grad, tx.init(z), z, value=value, grad=grad, value_fn=loss)
    parts = jnp.stack([jnp.real(z), jnp.imag(z)])
    real = lambda x: loss(jax.lax.complex(x[0], x[1]))  # noqa: E731
    value, grad = jax.value_and_grad(real)(parts)
    want, wanted = tx.step(grad, tx.init(parts), parts, value=value, grad=grad, value_fn=real)
    np.testing.assert_allclose(new, jax.lax.complex(want[0], want[1]), rtol=1e-5)
    assert state[1].info.num_linesearch_steps == wanted[1].info.num_linesearch_steps
    np.testing.assert_allclose(state[1].grad, jax.grad(loss)(new), rtol=1e-4, atol=1e-5)
