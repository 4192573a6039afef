"""Small problems with known answers: where an optimizer starts and where it should end.

Every problem is pure JAX and works under `jit`, `grad` and `vmap`. `problem.function` takes one
point, an array of shape `(n,)`, and returns a scalar.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class Minimum(NamedTuple):
    """A global minimum: the point, and the value there."""

    point: tuple[float, ...]
    value: float


@dataclass(frozen=True)
class Problem:
    """A function to be minimized, a start, and the answer.

    Attributes:
        name: A short name for tables and figures.
        function: Maps a point of shape `(n,)` to a scalar.
        start: The customary first point.
        minimum: The global minimum, or `None` where the function has none (the saddle).
    """

    name: str
    function: Callable[[jax.Array], jax.Array]
    start: tuple[float, ...]
    minimum: Minimum | None

    def gap(self, point: jax.Array) -> jax.Array:
        """How far the value at a point lies above the minimum: `f(x) - f*`.

        Shapes: `point` has shape `(n,)`, the result is a scalar.

        Raises:
            ValueError: If the problem has no minimum.
        """
        if self.minimum is None:
            raise ValueError(
                f"`gap` needs a problem with a minimum, but {self.name!r} is unbounded below."
            )
        return self.function(point) - self.minimum.value


def toy() -> Problem:
    """The bowl that is twenty times steeper in one direction than in the other.

        f(x) = 0.1 x1^2 + 2 x2^2

    Its Hessian is diag(0.2, 4), so gradient descent converges for rates below 2 / 4 = 0.5.
    """

    def function(x):
        return 0.1 * x[0] ** 2 + 2.0 * x[1] ** 2

    return Problem("toy", function, start=(-5.0, -2.0), minimum=Minimum((0.0, 0.0), 0.0))


def ravine(condition_number: float = 100.0, degrees: float = 30.0) -> Problem:
    """A long, narrow valley that is not aligned with the axes.

        u =  cos(a) x1 + sin(a) x2
        v = -sin(a) x1 + cos(a) x2
        f(x) = (u^2 + condition_number v^2) / 2

    The turn matters: a rate per coordinate can undo a narrow valley only along the axes.

    Args:
        condition_number: Largest over smallest curvature, at least 1.
        degrees: The angle a between the valley and the first axis, in degrees.

    Raises:
        ValueError: If `condition_number` is below 1.
    """
    _check_condition_number(condition_number)
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))

    def function(x):
        along = cos * x[0] + sin * x[1]
        across = -sin * x[0] + cos * x[1]
        return 0.5 * (along**2 + condition_number * across**2)

    return Problem("ravine", function, start=(-4.0, -1.2), minimum=Minimum((0.0, 0.0), 0.0))


def saddle() -> Problem:
    """A saddle: a minimum along one axis, a maximum along the other, unbounded below.

        f(x) = x1^2 - x2^2

    The start lies just off the ridge, where the gradient leads straight to the saddle point (0, 0)
    and an optimizer has to find the small component that leads away from it.
    """

    def function(x):
        return x[0] ** 2 - x[1] ** 2

    return Problem("saddle", function, start=(-1.0, 0.001), minimum=None)


def beale() -> Problem:
    """Beale's function: a curved valley between steep walls.

        f(x) = (1.5 - x1 + x1 x2)^2 + (2.25 - x1 + x1 x2^2)^2 + (2.625 - x1 + x1 x2^3)^2

    Source: Beale 1958, "On an iterative method for finding a local minimum of a function of more
        than one variable"; also Moré, Garbow and Hillstrom 1981, problem 5.
    Differs: the customary start is (1, 1); this one lies higher on the wall.
    """

    def function(x):
        powers = jnp.stack([x[1], x[1] ** 2, x[1] ** 3])
        targets = jnp.asarray([1.5, 2.25, 2.625], x.dtype)
        return jnp.sum((targets - x[0] * (1.0 - powers)) ** 2)

    return Problem("Beale", function, start=(1.0, 1.5), minimum=Minimum((3.0, 0.5), 0.0))


def rosenbrock(dimension: int = 2) -> Problem:
    """Rosenbrock's banana: easy to reach the valley, slow to follow it.

        f(x) = sum over i of 100 (x[i+1] - x[i]^2)^2 + (1 - x[i])^2

    Args:
        dimension: Number of variables n, at least 2.

    Raises:
        ValueError: If `dimension` is below 2.

    Source: Rosenbrock 1960, "An automatic method for finding the greatest or least value of a
        function", https://doi.org/10.1093/comjnl/3.3.175.
    Differs: the source has n = 2; the sum is the usual extension.
    """
    if dimension < 2:
        raise ValueError(f"`dimension` must be at least 2, but is {dimension}.")

    def function(x):
        return jnp.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)

    start = tuple(-1.2 if i % 2 == 0 else 1.0 for i in range(dimension))
    return Problem("Rosenbrock", function, start, Minimum((1.0,) * dimension, 0.0))


def quadratic(condition_number: float, dimension: int = 2, seed: int | None = None) -> Problem:
    """A quadratic whose curvatures are spread evenly in the logarithm, from 1 to a given number.

        f(x) = (x - x*)' H (x - x*) / 2,    eigenvalues of H from 1 to condition_number

    Args:
        condition_number: Largest over smallest eigenvalue of H, at least 1.
        dimension: Number of variables n, at least 2.
        seed: `None` for a diagonal H and a minimum at 0; a number for random orthogonal
            eigenvectors and a random minimum x*.

    Raises:
        ValueError: If `condition_number` is below 1 or `dimension` below 2.
    """
    _check_condition_number(condition_number)
    if dimension < 2:
        raise ValueError(f"`dimension` must be at least 2, but is {dimension}.")
    curvatures = np.geomspace(1.0, condition_number, dimension)
    if seed is None:
        hessian, point = np.diag(curvatures), np.zeros(dimension)
    else:
        rng = np.random.default_rng(seed)
        vectors, _ = np.linalg.qr(rng.standard_normal((dimension, dimension)))
        hessian, point = (vectors * curvatures) @ vectors.T, rng.standard_normal(dimension)

    def function(x):
        offset = x - jnp.asarray(point, x.dtype)
        return 0.5 * offset @ jnp.asarray(hessian, x.dtype) @ offset

    start = tuple(float(value) for value in point + 1.0)
    name = f"quadratic, condition number {condition_number:g}"
    return Problem(name, function, start, Minimum(tuple(float(value) for value in point), 0.0))


def _check_condition_number(condition_number: float) -> None:
    if not condition_number >= 1.0:
        raise ValueError(f"`condition_number` must be at least 1, but is {condition_number}.")
