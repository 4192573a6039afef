"""Sums of squares whose root is to be taken, also where the squares leave the range of numbers."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from .._core.leaves import is_traced


def in_range(
    total: jax.Array, again: Callable[[jax.Array], jax.Array], dtype: np.dtype
) -> tuple[jax.Array, jax.Array]:
    """(a sum of squares, the unit they are in): the norm is the root of the one over the other.

    The unit is 1 unless the sum over- or underflowed. The entries are then read once more, and only
    then: to measure each sum in two units costs a multiple of the time on CPU, a branch nothing.

    Args:
        total: sum |x|^2 over all entries.
        again: unit -> sum |unit x|^2.
        dtype: In which `again` takes the squares, float32 or float64.
    """
    # 2^88 for float32: squares of what is too large or too small for them are far from both ends.
    bits = 11 * jnp.finfo(dtype).maxexp // 16
    small, large = 2.0**-bits, 2.0**bits
    too_small = total < 2.0**-72  # some of its terms may have been too small for float32 by then
    unit = jnp.where(too_small, large, jnp.where(jnp.isfinite(total), 1.0, small))
    unit = unit.astype(total.dtype)
    fits = unit == 1

    def once_more() -> jax.Array:
        return again(unit).astype(total.dtype)

    if is_traced(fits):
        return lax.cond(fits, lambda: total, once_more), unit
    return (total if fits else once_more()), unit
