"""Keys of random numbers, from whatever a user has."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def as_key(label: str, key: Any) -> jax.Array:
    """A key of `jax.random`, of the old or the new kind, or an integer, as one key of the new kind.

    Args:
        label: Constructor and argument, for the message.
        key: What was given.

    Raises:
        TypeError: If it is neither.
    """
    if isinstance(key, int) and not isinstance(key, bool):
        return jax.random.key(key)
    if isinstance(key, (jax.Array, np.ndarray, np.generic)):
        if key.ndim == 0 and jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
            return jnp.asarray(key)
        if key.ndim == 1 and key.dtype == np.uint32:
            return jax.random.wrap_key_data(jnp.asarray(key))
        if key.ndim == 0 and jnp.issubdtype(key.dtype, jnp.integer):
            return jax.random.key(jnp.asarray(key))
    raise TypeError(f"{label} must be one key of jax.random or an integer, but is {key!r}.")
