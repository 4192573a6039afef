"""The one-array moments on numbers worked out by hand."""

import jax.numpy as jnp
import numpy as np

from gradtx._moments import moments

F = jnp.float32


def test_by_hand():
    assert float(moments.velocity(F(2), F(3), F(0.5), 1.0)) == 4.0
    assert float(moments.mean_square(F(2), F(3), F(0.5), F(0.5))) == 5.5
    assert float(moments.sum_of_squares(F(2), F(3))) == 11.0
    assert float(moments.decayed_maximum(F(8), F(-3), F(0.5), F(0.0))) == 4.0
    assert float(moments.decayed_maximum(F(4), F(-3), F(0.5), F(0.25))) == 3.25
    assert float(moments.root_with_eps(F(12), F(4), True)) == 4.0
    assert float(moments.root_with_eps(F(9), F(4), False)) == 7.0


def test_filled_like_is_real():
    filled = moments.filled_like(jnp.ones((2, 3), jnp.complex64), F(0.5))
    assert filled.dtype == jnp.float32
    np.testing.assert_array_equal(filled, np.full((2, 3), 0.5))
