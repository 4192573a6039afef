"""Curvature along the gradient, from one product.

The optimizer that seeks flat minima, `penalize_gradient_norm`, is in gradtx/_wrap/sharpness.py.
"""

from typing import Any, NamedTuple

import jax

from .._core.numerics import divide
from ..tree import norm, vdot
from ._layout import scaled
from ._operator import Operator, check_operator


class Sharpness(NamedTuple):
    """What one product with the gradient tells.

    Attributes:
        curvature: g' H g / g' g, the second derivative of the loss along the gradient; 0 if the
            gradient is 0.
        gradient_norm: |g|.
        product_norm: |H g|; over |g| it is at least |curvature|.
    """

    curvature: jax.Array
    gradient_norm: jax.Array
    product_norm: jax.Array


def sharpness(operator: Operator, gradient: Any) -> Sharpness:
    """The curvature that gradient descent meets on its way.

        c = g' H g / g' g

    A step w - lr g changes the loss by -lr g'g (1 - lr c / 2) up to third order: it falls for
    lr < 2 / c, and falls most at lr = 1 / c. c is at most the largest eigenvalue.

    Shapes: scalars. Works under `jit`, and costs one product.
    Units: those of the operator.

    Args:
        operator: The Hessian or another operator.
        gradient: Tree like the params: the gradient, or any direction g.

    Returns:
        The three numbers.

    Raises:
        TypeError: If no operator is given.
        ValueError: If the tree or a shape is another one than that of the params.

    Source: Pearlmutter 1994, https://doi.org/10.1162/neco.1994.6.1.147, section 6.1; LeCun, Simard,
        Pearlmutter 1993, "Automatic learning rate maximization by on-line estimation of the
        Hessian's eigenvectors", for what it says about the learning rate.
    """
    check_operator("sharpness", operator)
    g = operator._product.layout.read("sharpness", gradient)
    size, g = _scaled(g)  # so that the squares of a small or large gradient do not vanish
    return Sharpness(*_along(size, g, operator.apply(g)))


_scaled = jax.jit(scaled)


@jax.jit
def _along(size: jax.Array, g: jax.Array, product: jax.Array) -> tuple[jax.Array, ...]:
    """The three for size g, where g has entries of magnitude up to 1."""
    height, product = scaled(product)
    curvature = divide(vdot(g, product), vdot(g, g)) * height
    return curvature, size * norm(g), size * (height * norm(product))
