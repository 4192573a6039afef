"""Numbers out of a state: constructors take them unchecked, and decays keep what goes with them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx
from gradtx._core.live import Exact, enter, exact_of, is_live, live, taken_as_decays
from gradtx._core.remade import exact_if_still, exact_of_number
from gradtx._core.rule import expand


def test_a_decay_keeps_what_goes_with_it():
    b, other, exact = jnp.float32(0.99999), jnp.float32(0.5), Exact(1e-5, -1e-5)
    with live([(b, exact), (other, None)]):
        decay = gx.as_decay(b)
        assert taken_as_decays([b, other]) == [True, False]
    assert expand("b", decay) == {"b": float(b), "one_minus_b": 1e-5, "log_b": -1e-5}
    assert gx.as_decay(b).exact is None  # outside, nothing is known of it


def test_what_goes_with_it_may_be_found_when_it_is_asked_for():
    b, other, asked = jnp.float32(0.9), jnp.float32(0.5), []
    with live([(b, lambda: asked.append(b) or Exact(0.1, -0.1)), (other, lambda: 1 / 0)]):
        assert not asked
        assert gx.as_decay(b).exact == Exact(0.1, -0.1)
    assert len(asked) == 1


def taken(value, start):
    """Return what goes with a traced decay."""
    known = exact_if_still(value, start)
    assert callable(known)
    return known()


@pytest.mark.parametrize("start", [0.99999, 0.3, 0.0, 1 - 1e-9])
def test_a_decay_that_still_is_what_it_was_made_of(start):
    """In and outside of a trace alike, to the bit; others are what the array holds."""
    value, exact = jnp.float32(start), exact_of_number(start)
    assert exact_if_still(value, start) == exact
    inside = jax.jit(lambda b: taken(b, start))(value)
    assert inside == Exact(np.float32(exact.one_minus), np.float32(exact.log))
    assert exact_if_still(jnp.float32(0.7), start) is None
    inside = jax.jit(lambda b: taken(b, start))(jnp.float32(0.7))
    np.testing.assert_allclose(inside, exact_of_number(np.float32(0.7)), rtol=1e-6)


def test_derivatives_are_those_of_any_other_value():
    one_minus, log = jax.jacrev(lambda b: taken(b, 0.3))(jnp.float32(0.3))
    assert one_minus == -1
    np.testing.assert_allclose(log, 1 / 0.3, rtol=1e-6)


def test_numbers_of_which_nothing_more_is_known():
    """In bfloat16 b itself would not fit to 1 - b."""
    assert exact_if_still(jnp.bfloat16(0.999), 0.999) is None
    assert exact_if_still(jnp.int32(1), 1) is None
    assert exact_if_still(0.9, 0.9) is None
    assert exact_if_still(jnp.float32(0.9), jnp.ones(2)) is None


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
