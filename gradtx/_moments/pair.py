"""The pair of moments of Adam and its kin: a mean and a mean square that start at zero."""

import jax

from .._core.numerics import average, debiasing, safe_increment
from .moments import mean_square


def next_biases(state, h, extra):
    """The `shared` of rules with a count, b1 and b2: the weights their averages have gathered."""
    t = safe_increment(state.count)
    biases = {
        "mu_bias": debiasing(h.log_b1, t),
        "next_mu_bias": debiasing(h.log_b1, safe_increment(t)),
        "nu_bias": debiasing(h.log_b2, t),
    }
    return biases, state._replace(count=t)


def average_moments(g, state, p, h):
    """The `accumulate` of rules with b1, b2, mu and nu."""
    return state._replace(
        mu=average(state.mu, g, h.b1, h.one_minus_b1),
        nu=mean_square(state.nu, g, h.b2, h.one_minus_b2),
    )


def corrected_mean(g: jax.Array, mu: jax.Array, h) -> jax.Array:
    """mu / (1 - b1^t), or with `nesterov` b1 mu / (1 - b1^(t+1)) + (1 - b1) g / (1 - b1^t)."""
    if h.nesterov:
        return h.b1 * mu / h.next_mu_bias + h.one_minus_b1 * g / h.mu_bias
    return mu / h.mu_bias
