"""The contract finds what is broken, and says which check, which leaf and why."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx
from gradtx.testing import (
    awkward_params,
    check_transformation,
    constant_like,
    gradients_like,
    many_leaves,
)

REAL = ("float32", "float16", "bfloat16")


def arrays(f):
    """Return f mapped over real and complex arrays, the other leaves as they are."""

    def on_leaf(x, *rest):
        is_array = hasattr(x, "dtype") and jnp.issubdtype(x.dtype, jnp.inexact)
        return f(x, *rest) if is_array else x

    return lambda tree, *rest: jax.tree.map(on_leaf, tree, *rest)


def empty(params):
    return ()


def zeros_of(params):
    return jax.tree.map(jnp.zeros_like, params)


def good(updates, state, params=None):
    return arrays(lambda g: g * jnp.asarray(0.5, g.dtype))(updates), state


def wider(updates, state, params=None):
    return arrays(lambda g: g.astype(jnp.float32))(updates), state


def weak(updates, state, params=None):
    return updates, 1.0


def growing(updates, state, params=None):
    return updates, jnp.zeros(state.size + 1)


def aliased(updates, state, params=None):
    return updates, updates


def dividing(updates, state, params=None):
    return arrays(lambda g: g / jnp.abs(g))(updates), state


def steep(updates, state, params=None):
    return arrays(lambda g: jnp.sqrt(g * g))(updates), state


def squaring(updates, state, params=None):
    return arrays(lambda g: g / (1 + jnp.sum(g * g)))(updates), state


HIDDEN = [0.0]


def hidden(updates, state, params=None):
    HIDDEN[0] += 1.0
    return arrays(lambda g: g * jnp.asarray(HIDDEN[0], g.dtype))(updates), state


def greedy(updates, state, params=None, **extra):
    factor = 1 + len(extra)
    return arrays(lambda g: g * jnp.asarray(factor, g.dtype))(updates), state


def flat(updates, state, params=None):
    return arrays(lambda g: g - jnp.mean(g, axis=0))(updates), state


BROKEN = {
    "dtypes": (empty, wider),
    "state": (lambda params: jnp.zeros([]), weak),
    "jit": (empty, hidden),
    "donation": (zeros_of, aliased),
    "zero": (empty, dividing),
    "derivative": (empty, steep),
    "large": (empty, squaring),
    "extra": (empty, greedy),
    "shapes": (empty, flat),
    "scan": (lambda params: jnp.zeros(1), growing),
    "resume": (empty, hidden),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_is_found(name):
    options = {"dtypes": REAL} if name in ("large", "state") else {}
    message = rf"(?s)^check_transformation\(.*`{name}` fails: .* Likely cause: "
    with pytest.raises(AssertionError, match=message):
        check_transformation(BROKEN[name], checks=[name], **options)


def test_good_pair_passes():
    check_transformation((empty, good))


def test_message_names_the_leaf():
    with pytest.raises(AssertionError, match=r"`dtypes` fails: the update of step 1 at \['bfloat1"):
        check_transformation(BROKEN["dtypes"], checks=["dtypes"], dtypes=REAL)


def test_buffer_shared_by_two_fields():
    def init(params):
        zeros = zeros_of(params)
        return {"a": zeros, "b": zeros}

    with pytest.raises(
        AssertionError, match=r"\['state'\]\['a'\].* and \['state'\]\['b'\].* one b"
    ):
        check_transformation((init, good), checks=["donation"])


def test_state_that_is_the_parameters():
    with pytest.raises(AssertionError, match="`donation` fails: after init, "):
        check_transformation((lambda params: params, good), checks=["donation"])


def test_error_is_reported_with_its_check():
    def failing(updates, state, params=None):
        raise KeyError("momentum")

    with pytest.raises(AssertionError, match=r"`state` fails: KeyError was raised: 'momentum'"):
        check_transformation((empty, failing))


def test_own_params_and_extras():
    params = {"w": jnp.linspace(0, 1, 4)}
    tx = gx.polyak_sgd()
    check_transformation(tx, params=params, extras={"value": 1.0})
    check_transformation(tx, params=params, extras=lambda params: {"value": jnp.sum(params["w"])})


def test_unknown_check():
    with pytest.raises(ValueError, match="no check is called 'speed'; there are state, jit,"):
        check_transformation(gx.scale(1.0), checks=["speed"])
    with pytest.raises(ValueError, match="no check is called 'speed'"):
        check_transformation(gx.scale(1.0), skip=["speed"])


def test_awkward_params_have_what_they_promise():
    params = awkward_params()
    leaves = jax.tree.leaves(params)
    assert {str(x.dtype) for x in leaves} >= set(REAL) | {"complex64", "int32", "bool"}
    assert {x.ndim for x in leaves} >= {0, 2, 5}
    assert any(x.size == 0 for x in leaves)
    assert params["none"] is None
    assert "int32" not in awkward_params(REAL)


def test_gradients_are_what_grad_returns():
    params = awkward_params()
    grads = gradients_like(params)
    assert jax.tree.structure(grads) == jax.tree.structure(params)
    assert grads["int32"].dtype == jax.dtypes.float0
    assert grads["bfloat16"].dtype == jnp.bfloat16
    np.testing.assert_array_equal(grads["float16"], gradients_like(params)["float16"])
    assert np.any(grads["float16"] != gradients_like(params, 1)["float16"])
    constant = constant_like(params, 300.0)
    np.testing.assert_array_equal(np.abs(constant["float16"]), np.full((2, 4), 300.0))


def test_many_leaves():
    assert len(jax.tree.leaves(many_leaves(50))) == 50
