"""Derivatives that stay finite over many steps: what goes backwards is bounded."""

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

# How many bits below the largest number the bound is: room for sums over arrays and steps.
_ROOM = 32


def bounded(tangent: jax.Array) -> jax.Array:
    """A tangent as it is, whose cotangent is kept within +-2^96 in float32, 2^992 in float64.

    The slope of g / (sqrt(v) + eps) is 1 / eps where all gradients were 0. Backwards through an
    unrolled run such slopes multiply until they overflow, and infinity times one of the zeros that
    they meet is nan in the derivatives by everything else. A bound leaves those exact: zero times
    it is zero. Derivatives below it are as they would be, and nothing is there without reverse
    mode: forwards it is the identity, and without derivatives it is not called.

    Args:
        tangent: Array, real or complex.

    Returns:
        The same.
    """
    return _BOUNDED.bind(tangent)


def _within_bounds(cotangent: jax.Array) -> jax.Array:
    if jnp.iscomplexobj(cotangent):
        parts = lax.real(cotangent), lax.imag(cotangent)
        return lax.complex(*map(_within_bounds, parts))
    finfo = jnp.finfo(cotangent.dtype)
    bound = float(finfo.max) * (2.0**-_ROOM if finfo.maxexp > 2 * _ROOM else 1)
    return jnp.clip(cotangent, -bound, bound)


_BOUNDED = Primitive("bounded")
_BOUNDED.def_impl(lambda x: x)
_BOUNDED.def_abstract_eval(lambda x: x)
ad.deflinear2(_BOUNDED, lambda cotangent, _: [_within_bounds(cotangent)])
batching.defvectorized(_BOUNDED)
mlir.register_lowering(_BOUNDED, lambda context, x: [x])
