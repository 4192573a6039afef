"""Products and diagonals under Optax's names, on flat vectors."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from ._operator import Operator
from ._products import empirical_fisher, example_losses, hessian

_ROWS = 64


def hvp(loss: Callable[..., Any], v: Any, params: Any, inputs: Any, targets: Any) -> Any:
    """The product of the Hessian of a loss and a vector.

        H v = d/dr grad loss(params + r v) at r = 0

    Shapes: v and the result are flat vectors of shape (n,), the trained leaves of the params one
        after the other, or trees like the params.
    Units: those of the loss, times those of v, over the square of those of the params.

    Args:
        loss: loss(params, inputs, targets) -> scalar.
        v: Flat vector, or a tree.
        params: Tree of parameters.
        inputs: Passed on to the loss.
        targets: Passed on to the loss.

    Returns:
        H v, a flat vector in float32 or wider, or a tree.

    Raises:
        TypeError: If a parameter is complex or the loss is not a real scalar.
        ValueError: If v has another structure or shape.

    Source: Pearlmutter 1994, https://doi.org/10.1162/neco.1994.6.1.147, eq. 3.3.
    Differs: from Optax, which takes flat vectors alone, and returns a tree for them.
    """
    operator = hessian(loss, params, inputs, targets)
    if _is_flat(v, operator, params):
        return operator.apply(jnp.asarray(v)[None])[0]
    return operator(v)


def hessian_diag(loss: Callable[..., Any], params: Any, inputs: Any, targets: Any) -> jax.Array:
    """The exact diagonal of the Hessian of a loss, from n products.

    For more than some thousand parameters estimate it with `diagonal` instead.

    Shapes: a flat vector of shape (n,), the trained leaves of the params one after the other.
    Units: those of the loss, over the square of those of the params.

    Args:
        loss: loss(params, inputs, targets) -> scalar.
        params: Tree of parameters.
        inputs: Passed on to the loss.
        targets: Passed on to the loss.

    Returns:
        The diagonal, in float32 or wider.

    Raises:
        TypeError: If a parameter is complex or the loss is not a real scalar.
        ValueError: If nothing can be trained.
    """
    operator = hessian(loss, params, inputs, targets)

    entries = []
    for start in range(0, operator.size, _ROWS):
        # Beyond the last entry the unit vectors are 0; all blocks have one shape and one trace.
        places = start + jnp.arange(_ROWS)
        units = jax.nn.one_hot(places, operator.size, dtype=operator.dtype)
        entries.append(jnp.sum(units * operator.apply(units), axis=1))
    return jnp.concatenate(entries)[: operator.size]


def fisher_diag(
    negative_log_likelihood: Callable[..., Any], params: Any, inputs: Any, targets: Any
) -> jax.Array:
    """The diagonal of the empirical Fisher matrix: the mean of squared gradients of the examples.

        d = 1/n sum over examples of g_i^2

    Shapes: a flat vector of shape (n,), the trained leaves of the params one after the other.
    Units: the square of those of the loss, over the square of those of the params.

    Args:
        negative_log_likelihood: loss(params, inputs, targets) -> scalar, a mean over examples; see
            `empirical_fisher`.
        params: Tree of parameters.
        inputs: Arrays with the examples along the first axis.
        targets: Arrays with the examples along the first axis.

    Returns:
        The diagonal, in float32 or wider.

    Raises:
        TypeError: If a parameter is complex or the loss is not a real scalar.
        ValueError: If nothing can be trained, or arrays differ in the length of their first axis.

    Source: Kunstner, Balles, Hennig 2019, https://arxiv.org/abs/1905.12558, eq. 3.
    Differs: from Optax, which squares the gradient of the whole batch: the same for one example,
        and nearly 0 at a minimum for many.
    """
    operator = empirical_fisher(negative_log_likelihood, params, inputs, targets)
    product = operator._product
    layout, arrays, others = product.layout, operator._arrays, operator._others

    def one(inputs, targets):
        def value(x):
            batch = jax.tree.map(lambda leaf: leaf[None], (inputs, targets))
            return example_losses(negative_log_likelihood, layout.params(x, others), batch)[0]

        return jnp.square(layout.ravel(jax.grad(value)(arrays)))

    data = jax.tree.map(jnp.asarray, (inputs, targets))
    total = jax.lax.map(lambda pair: one(*pair), data)
    return jnp.mean(total, axis=0)


def _is_flat(v: Any, operator: Operator, params: Any) -> bool:
    """Whether v is a flat vector, and the params are not one themselves."""
    is_vector = getattr(v, "shape", None) == (operator.size,)
    return is_vector and getattr(params, "ndim", 0) != 1
