"""The search for eigenvalues at both ends of the spectrum: when to stop, restart and look again."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ._lanczos import Lanczos, Ritz, generator
from ._operator import Operator

_BASIS_BYTES = 2**28
_MOST_ROWS = 2000  # the eigenvalues of T itself take seconds from here on
_EXTRA_ROWS = 20
_ASYMMETRIC = 0.25


class Progress(NamedTuple):
    """What a `progress` callback is told after each product.

    Attributes:
        products: Number of products so far.
        limit: The most that will be taken.
        values: Present estimates, largest first, shape (k,); fewer while the basis is small.
        bounds: How far each is at most from an eigenvalue, shape (k,).
        goal: What the bounds have to come down to.
        converged: Whether all have, so that what is left is to look for further copies of them.
    """

    products: int
    limit: int
    values: np.ndarray
    bounds: np.ndarray
    goal: float
    converged: bool


class Found(NamedTuple):
    """The state of a search: the wanted Ritz values, largest first."""

    values: np.ndarray
    bounds: np.ndarray
    coordinates: np.ndarray  # of the Ritz vectors, as columns
    indices: np.ndarray  # among the Ritz values, which ascend
    enough: bool  # whether there are as many as are wanted


# Whether what was found is accurate enough, and the bound that is aimed at.
Settled = Callable[[Found, Lanczos], tuple[bool, float]]


def default_basis(size: int, itemsize: int, wanted: int) -> int:
    """The number of basis vectors: 256 MB of them, between 40 and 2000, and enough for k."""
    affordable = min(max(_BASIS_BYTES // (size * itemsize), 40), _MOST_ROWS)
    return min(size, max(affordable, 3 * wanted + _EXTRA_ROWS))


class Search:
    """Lanczos sweeps until what is wanted at the two ends has settled.

    One Krylov space holds one eigenvector of a multiple eigenvalue. So after a sweep has settled
    its Ritz vectors stay in the basis, and the next sweep starts at random in their complement:
    further copies are at its ends. The search is over when a sweep brings nothing new.
    """

    def __init__(
        self,
        owner: str,
        operator: Operator,
        largest: int,
        smallest: int,
        *,
        basis: int,
        max_products: int,
        key: Any,
        settled: Settled,
        multiple: bool,
        progress: Callable[[Progress], Any] | None,
    ) -> None:
        self.lanczos = Lanczos(operator, min(basis, operator.size), generator(owner, key))
        self._largest, self._smallest = largest, smallest
        self._limit, self._settled, self._multiple = max_products, settled, multiple
        self._progress = progress
        self._before: Found | None = None  # what was known before the present sweep
        self.complete = False  # whether the last sweep brought nothing new

    def run(self) -> Found:
        """Search, and return what was found."""
        lanczos, first_sweep = self.lanczos, 0
        lanczos.begin()
        while True:
            found, converged, goal = self._sweep(first_sweep)
            if lanczos.rounding > _ASYMMETRIC * lanczos.scale > 0.0:
                raise ValueError(
                    f"{lanczos.operator!r}: the operator must be symmetric, but q_i' A q_j and "
                    f"q_j' A q_i differ by {lanczos.rounding:.2g} where |A| is about "
                    f"{lanczos.scale:.2g}. Does the function depend on anything but v, or are the "
                    "products too coarse?"
                )
            everything = lanczos.full
            self.complete = everything or (converged and not self._new(found, goal))
            enough = found.enough and (self.complete or (converged and not self._multiple))
            if everything or enough or lanczos.products >= self._limit:
                return found
            first_sweep = first_sweep or lanczos.products
            self._before = found
            lanczos.settle(found.indices)

    def wanted(self, ritz: Ritz) -> Found:
        """The Ritz pairs at the two ends, the largest first."""
        m = len(ritz.values)
        count = self._largest + self._smallest
        if m <= count:
            indices = np.arange(m)[::-1]
        else:
            low, high = np.arange(self._smallest), np.arange(m - self._largest, m)
            indices = np.concatenate([low, high])[::-1]
        enough = m >= min(count, self.lanczos.operator.size)
        values, bounds = ritz.values[indices], ritz.bounds[indices]
        return Found(values, bounds, ritz.vectors[:, indices], indices, enough)

    def _sweep(self, first_sweep: int) -> tuple[Found, bool, float]:
        """Steps until all is settled, the space is exhausted or the products are."""
        lanczos = self.lanczos
        begun, found, settled, goal = lanczos.products, None, False, 0.0
        while True:
            if lanczos.size == lanczos.most and not lanczos.invariant:
                lanczos.restart(self._kept())
            lanczos.step()
            over = lanczos.invariant or lanczos.products >= self._limit
            if over or self._due():
                found = self.wanted(lanczos.ritz())
                accurate, goal = self._settled(found, lanczos)
                settled = found.enough and accurate
                if settled and not self._new(found, goal):
                    settled = self._nothing_new(found, goal, lanczos.products - begun, first_sweep)
                if self._progress is not None:
                    self._progress(
                        Progress(
                            lanczos.products,
                            self._limit,
                            found.values,
                            found.bounds,
                            goal,
                            bool(first_sweep) or settled,
                        )
                    )
            if found is not None and (settled or over):
                return found, settled or lanczos.invariant, goal

    def _due(self) -> bool:
        """Whether to look: at each step while that is cheap, then less and less often."""
        size = self.lanczos.size
        often = size // 20 if size < 200 else size // 10
        return size <= 40 or size == self.lanczos.most or size % often == 0

    def _new(self, found: Found, goal: float) -> bool:
        """Whether a wanted value is another one than at the start of the sweep."""
        before = self._before
        if before is None or not before.enough:
            return True
        return bool(np.any(np.abs(found.values - before.values) > goal))

    def _nothing_new(self, found: Found, goal: float, steps: int, first_sweep: int) -> bool:
        """Whether the ends of the present sweep lie inside those that are known.

        A copy would show in about as many steps as the first sweep took; half as many at least
        are taken, and an end counts once its bound keeps it apart or it has settled itself.
        """
        lanczos = self.lanczos
        if lanczos.invariant:
            return True
        least = max(math.ceil(math.log(lanczos.operator.size)), first_sweep // 2)
        if steps < least:
            return False
        own = lanczos.ritz(lanczos.start)
        ends = []
        if self._largest:
            ends.append((found.values[self._largest - 1] - own.values[-1], own.bounds[-1]))
        if self._smallest:
            ends.append((own.values[0] - found.values[-self._smallest], own.bounds[0]))
        return all(bound <= max(gap, goal) for gap, bound in ends)

    def _kept(self) -> np.ndarray:
        """Which Ritz vectors of the sweep survive a restart: those wanted and some beside them."""
        lanczos = self.lanczos
        m = lanczos.size - lanczos.start
        spare = max(m - self._largest - self._smallest, 0) // 2
        both = bool(self._largest) + bool(self._smallest)
        high = min(self._largest + spare // both, m - 2) if self._largest else 0
        low = min(self._smallest + spare // both, m - 2 - high) if self._smallest else 0
        return np.concatenate([np.arange(max(low, 0)), np.arange(m - high, m)])


def check_search(owner: str, operator: Operator, wanted: int, basis: Any, products: Any) -> tuple:
    """The number of basis vectors and of products, from what was given or by default.

    Raises:
        ValueError: If one of them is too small.
    """
    size, least = operator.size, min(operator.size, 2 * wanted + 6)
    itemsize = operator.dtype.itemsize
    basis = default_basis(size, itemsize, wanted) if basis is None else int(basis)
    if basis < least:
        raise ValueError(
            f"{owner}: `basis` must be at least {least}, so that {wanted} eigenvalues and room for "
            f"others fit, but is {basis}."
        )
    products = max(1000, 2 * basis) if products is None else int(products)
    if products < min(wanted, size):
        raise ValueError(
            f"{owner}: `max_products` must be at least {min(wanted, size)}, since each eigenvalue "
            f"takes one, but is {products}."
        )
    return basis, products
