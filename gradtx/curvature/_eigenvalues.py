"""Extreme eigenvalues by Lanczos, and how accurate they are."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ._lanczos import Lanczos
from ._operator import Operator, check_outside_jit
from ._search import Found, Progress, Search, check_search


@dataclasses.dataclass(frozen=True)
class Eigenvalues:
    """Eigenvalues at the ends of a spectrum, largest first, and how accurate each is.

    Attributes:
        values: Shape (k,), descending, in float64 on the host.
        bounds: Residual bounds beta |s_m|: in exact arithmetic an eigenvalue lies that close. Which
            one, of several that lie closer together, cannot be told.
        rounding: How exact the products with A are, as far as Lanczos can see it: for float32
            params some 1e-6 of the largest magnitude.
        converged: Which ones have bounds + rounding <= tolerance * scale, shape (k,).
        tolerance: What was asked for, relative to the scale.
        scale: The largest magnitude met.
        products: Number of products with A.
        multiplicity_checked: Whether a search in the complement brought no further copies.
        largest: How many of the values are from the upper end.
        vectors: Eigenvectors of norm 1 as trees like the params, in the order of the values; or
            None.
    """

    values: np.ndarray
    bounds: np.ndarray
    rounding: float
    converged: np.ndarray
    tolerance: float
    scale: float
    products: int
    multiplicity_checked: bool
    largest: int
    vectors: tuple[Any, ...] | None = None

    @property
    def errors(self) -> np.ndarray:
        """bounds + rounding, shape (k,): how far each value may be from an eigenvalue."""
        return self.bounds + self.rounding

    def __str__(self) -> str:
        lines = [f"{'eigenvalue':>14}{'error at most':>16}"]
        for value, error, good in zip(self.values, self.errors, self.converged, strict=True):
            lines.append(f"{value:14.7g}{error:16.1e}{'' if good else '  not converged'}")
        if np.any(~self.converged & (self.bounds <= self.rounding)):
            lines.append("errors limited by the rounding or asymmetry of the products")
        lines.append(f"{self.products} products, tolerance {self.tolerance:g} of {self.scale:.3g}")
        if not self.multiplicity_checked:
            lines.append("not looked for further copies of multiple eigenvalues")
        return "\n".join(lines)


def eigenvalues(
    operator: Operator,
    largest: int = 1,
    smallest: int = 0,
    *,
    tolerance: float | None = None,
    vectors: bool = False,
    multiplicity: bool = True,
    basis: int | None = None,
    max_products: int | None = None,
    key: jax.Array | int | None = None,
    progress: Callable[[Progress], Any] | None = None,
) -> Eigenvalues:
    """The algebraically largest and smallest eigenvalues of an operator, by Lanczos.

    The recurrence grows an orthonormal basis Q = (q_1 ... q_m) by one product a step:

        beta_(j+1) q_(j+1) = A q_j - sum over i <= j of q_i (q_i' A q_j),   T = Q' A Q

    and the eigenvalues of T come close to those at the ends of A first. For T s = theta s there is
    an eigenvalue of A within beta_(m+1) |s_m| of theta; for one that is apart from the others the
    error is about that squared, over the distance to the next. The loop runs in Python, so it
    works with data that are read batch by batch, and not inside `jit`.

    Values that occur several times are returned as often: each sweep through the complement of
    what has been found brings one further copy, and a last sweep brings nothing.

    Shapes: the basis takes (basis + 1) n numbers in float32 or wider, and half of it again for a
        moment when it is full and shrinks to its best half (a thick restart).
    Units: those of the operator.

    Args:
        operator: What to take eigenvalues of.
        largest: How many from the upper end, 0 or more.
        smallest: How many from the lower end, 0 or more; one of the two is positive. If together
            they exceed n, all n are returned.
        tolerance: Accuracy relative to the largest magnitude, in (0, 1); None for 1e-6 with
            float64 params, 1e-4 with float32 and 3e-2 with narrower ones.
        vectors: Whether to return eigenvectors.
        multiplicity: Whether to look for further copies. Without, each value may count once only
            however often it occurs; that saves a third to a half of the products.
        basis: The most basis vectors; None for 256 MB of them, but 40 to 2000.
        max_products: The most products with A, at least one for each value; None for 1000, or
            twice the basis if that is more.
        key: Key for the starting vectors, or an integer; None for a fixed one.
        progress: Called with a `Progress` as the estimates improve.

    Returns:
        The eigenvalues with their bounds.

    Raises:
        TypeError: If no operator is given, a count is no integer, or it is called while JAX is
            tracing.
        ValueError: If a number is out of its range, or the operator is not symmetric.
        FloatingPointError: If a product is not finite.

    Source: Golub, Van Loan 2013, Matrix Computations, 4th ed., sections 10.1 to 10.3; Parlett
        1998, The Symmetric Eigenvalue Problem, section 13.2, for the bound; Wu, Simon 2000,
        https://doi.org/10.1137/S0895479898334605, for the restart.
    """
    owner = "eigenvalues"
    check_outside_jit(owner, operator)
    for name, given in (("largest", largest), ("smallest", smallest)):
        if isinstance(given, bool) or not isinstance(given, (int, np.integer)):
            raise TypeError(f"{owner}: `{name}` must be an integer, but is {given!r}.")
    largest, smallest = int(largest), int(smallest)
    if largest < 0 or smallest < 0 or largest + smallest < 1:
        raise ValueError(
            f"{owner}: `largest` and `smallest` must not be negative, and one of them be positive, "
            f"but they are {largest} and {smallest}."
        )
    if tolerance is None:
        tolerance = default_tolerance(operator)
    if not 0.0 < tolerance < 1.0:
        raise ValueError(f"{owner}: `tolerance` must be in (0, 1), but is {tolerance}.")
    limits = check_search(owner, operator, largest + smallest, basis, max_products)

    def settled(found: Found, lanczos: Lanczos) -> tuple[bool, float]:
        # Below the rounding of the products nothing is gained by going on.
        goal = max(tolerance * lanczos.scale - lanczos.rounding, lanczos.rounding)
        return bool(np.all(found.bounds <= goal)), goal

    search = Search(
        owner,
        operator,
        largest,
        smallest,
        basis=limits[0],
        max_products=limits[1],
        key=key,
        settled=settled,
        multiple=multiplicity,
        progress=progress,
    )
    found = search.run()
    lanczos = search.lanczos
    trees = None
    if vectors:
        trees = tuple(operator.unflatten(row) for row in lanczos.vectors(found.coordinates))
    return Eigenvalues(
        values=found.values,
        bounds=found.bounds,
        rounding=lanczos.rounding,
        converged=found.bounds + lanczos.rounding <= tolerance * lanczos.scale,
        tolerance=tolerance,
        scale=lanczos.scale,
        products=lanczos.products,
        multiplicity_checked=search.complete,
        largest=min(largest, len(found.values)),
        vectors=trees,
    )


def default_tolerance(operator: Operator) -> float:
    """What the products of an operator can be expected to give."""
    if operator.eps < float(jnp.finfo(jnp.float32).eps):
        return 1e-6
    return 1e-4 if operator.eps < 1e-5 else 3e-2
