"""The product with a Hessian, on lists of arrays: what operators and optimizers both call."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from .leaves import describe_leaf, with_article


def hessian_vector(
    loss: Callable[[list[jax.Array]], jax.Array], x: list[jax.Array], v: list[jax.Array]
) -> list[jax.Array]:
    """H v = d/dr grad loss(x + r v) at r = 0: forward over reverse, about two gradients' worth.

    Args:
        loss: Arrays -> real scalar.
        x: Where the Hessian is taken.
        v: The vector, arrays of the shapes and dtypes of x.

    Source: Pearlmutter 1994, https://doi.org/10.1162/neco.1994.6.1.147, eq. 3.3.
    """
    return jax.jvp(jax.grad(loss), (x,), (v,))[1]


def real_scalar(owner: str, name: str, value: Any) -> jax.Array:
    """The loss, if it is one: said here, since JAX would speak of grad and of jacrev.

    Args:
        owner: Who needs it, for the message.
        name: What the function is called there.
        value: What the function returned.

    Raises:
        TypeError: If it is no real scalar.
    """
    parts = jax.tree.leaves(value)
    if len(parts) != 1:
        shown = f"a tree of {len(parts)} leaves"
    elif parts[0] is not value:
        shown = f"{with_article(type(value).__name__)} around {describe_leaf(parts[0])}"
    elif jnp.shape(value) != ():
        shown = describe_leaf(value)
    elif not jnp.issubdtype(jnp.result_type(value), jnp.floating):
        shown = describe_leaf(jnp.asarray(value))
    else:
        return value
    raise TypeError(
        f"{owner}: `{name}` must return a real scalar, but returns {shown}. Is the mean over the "
        "batch left out, or does it return further values besides the loss?"
    )
