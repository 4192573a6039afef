"""Bias correction that Adam and its kin share."""

import types

import jax.numpy as jnp
import numpy as np
import pytest

from gradtx._core.rule import as_decay, expand
from gradtx._moments.adam import ScaleByAdamState
from gradtx._moments.pair import corrected_mean, next_biases


def numbers(nesterov=False, **decays):
    """Return hyperparameters as a rule sees them."""
    values = {k: v for name, b in decays.items() for k, v in expand(name, as_decay(b)).items()}
    arrays = {k: jnp.float32(v) for k, v in values.items()}
    return types.SimpleNamespace(nesterov=nesterov, **arrays)


@pytest.mark.parametrize("count", [0, 6, 100_000])
def test_biases_keep_their_digits_in_float32(count):
    state = ScaleByAdamState(jnp.int32(count), None, None)
    biases, state = next_biases(state, numbers(b1=0.9, b2=0.99999), None)
    t = count + 1
    assert int(state.count) == t
    assert float(biases["mu_bias"]) == pytest.approx(1 - 0.9**t, rel=1e-6)
    assert float(biases["next_mu_bias"]) == pytest.approx(1 - 0.9 ** (t + 1), rel=1e-6)
    assert float(biases["nu_bias"]) == pytest.approx(1 - 0.99999**t, rel=1e-6)


def test_mean_of_a_constant_gradient_is_the_gradient():
    h = numbers(b1=0.9)
    h.mu_bias, g = jnp.float32(1 - 0.9**3), jnp.array([2.0, -1.0])
    np.testing.assert_allclose(corrected_mean(g, (1 - 0.9**3) * g, h), g, rtol=1e-6)


def test_nesterov_is_the_mean_one_step_on():
    h = numbers(nesterov=True, b1=0.9)
    h.mu_bias, h.next_mu_bias = jnp.float32(1 - 0.9**3), jnp.float32(1 - 0.9**4)
    g, mu = 2.0, 0.3
    expected = 0.9 * mu / (1 - 0.9**4) + 0.1 * g / (1 - 0.9**3)
    assert float(corrected_mean(jnp.float32(g), jnp.float32(mu), h)) == pytest.approx(expected)
