"""What rules that are scaled by a Hessian diagonal share: the weight of this step's estimate."""

import jax.numpy as jnp

from .._core.numerics import average

# Without `hessian_is_fresh` every diagonal counts as an estimate made at this step.
EXTRAS = ("hessian_is_fresh",)
DEFAULTS = (("hessian_is_fresh", True),)
TREES = ("hessian_diagonal",)


def weights_of_estimate(h, extra) -> dict:
    """Weights of the mean so far and of this step's diagonal: 1 and 0 where it is not fresh.

    A weight of 0 leaves the mean as it was to the last bit, without a `select` over its arrays.
    """
    fresh = extra.hessian_is_fresh.astype(bool)
    return {
        "kept": jnp.where(fresh, h.b2, 1),
        "entering": jnp.where(fresh, h.one_minus_b2, 0),
    }


def average_estimate(nu, new, h):
    """The mean with this step's estimate, or as it was if there is none."""
    return average(nu, new, h.kept, h.entering)
