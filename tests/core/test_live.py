"""Numbers out of a state: constructors take them unchecked, and decays keep what goes with them."""

import jax.numpy as jnp
import pytest

import gradtx as gx
from gradtx._core.live import Exact, enter, exact_of, is_live, live, taken_as_decays
from gradtx._core.rule import expand


def test_a_decay_keeps_what_goes_with_it():
    b, other, exact = jnp.float32(0.99999), jnp.float32(0.5), Exact(1e-5, -1e-5)
    with live([(b, exact), (other, None)]):
        decay = gx.as_decay(b)
        assert taken_as_decays([b, other]) == [True, False]
    assert expand("b", decay) == {"b": float(b), "one_minus_b": 1e-5, "log_b": -1e-5}
    assert gx.as_decay(b).exact is None  # outside, nothing is known of it


def test_the_innermost_has_all():
    one, two, three = (jnp.float32(x) for x in (0.1, 0.2, 0.3))
    with live([(one, None)]):
        with live([(two, None)]):
            enter(three, Exact(0.7, -1.2))
            assert is_live(one)
            assert is_live(two)
            assert exact_of(three) == Exact(0.7, -1.2)
        assert not is_live(two)
    assert not is_live(one)
    enter(one, None)  # nobody listens
    assert not is_live(one)


def test_constructors_take_them_unchecked():
    """In float32 a decay below 1 may round to it."""
    b = jnp.float32(1.0)
    with live([(b, Exact(1e-9, -1e-9))]):
        gx.scale_by_lion(b1=b)
    with pytest.raises(ValueError, match="`b1` must be"):
        gx.scale_by_lion(b1=b)
