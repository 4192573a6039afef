"""The path of an optimizer."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike


def trajectory(
    tx: Any, function: Callable[[jax.Array], jax.Array], start: ArrayLike, steps: int
) -> jax.Array:
    """The points that an optimizer visits on a function, the start included.

        x[0] = start
        x[t + 1] = tx.step(gradient of function at x[t])

    It runs in one `lax.scan`, so it can be put under `jit`, and under `vmap` over the start or over
    a learning rate. The value and the function itself are passed on to optimizers that ask for them
    (Polyak's step size, line searches).

    Shapes: for a start of shape `(n,)` the result has shape `(steps + 1, n)`.

    Args:
        tx: Any gradtx transformation that ends in a step downhill.
        function: Maps a point of shape `(n,)` to a scalar.
        start: The first point, of shape `(n,)`.
        steps: Number of steps, at least 1.

    Raises:
        ValueError: If `steps` is below 1, or `start` is not one point.
    """
    if steps < 1:
        raise ValueError(f"`steps` must be at least 1, but is {steps}.")
    point = jnp.asarray(start)
    if not jnp.issubdtype(point.dtype, jnp.inexact):
        point = point.astype(float)  # a start written in whole numbers
    if point.ndim != 1:
        raise ValueError(f"`start` must be one point of shape (n,), but has shape {point.shape}.")

    def one_step(carry, _):
        point, state = carry
        value, grad = jax.value_and_grad(function)(point)
        point, state = tx.step(grad, state, point, value=value, grad=grad, value_fn=function)
        return (point, state), point

    _, visited = jax.lax.scan(one_step, (point, tx.init(point)), None, length=steps)
    return jnp.concatenate([point[None], visited])
