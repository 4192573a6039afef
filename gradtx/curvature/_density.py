"""The density of a spectrum by stochastic Lanczos quadrature."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from ._lanczos import Lanczos, generator
from ._operator import Operator, check_outside_jit


@dataclasses.dataclass(frozen=True)
class SpectralDensity:
    """Where the eigenvalues of an operator lie, as nodes with weights.

    Attributes:
        nodes: Ritz values of each probe, ascending, shape (probes, m).
        weights: The share of the spectrum near each node; the weights of a probe sum to 1. Where a
            probe ended early the rest of its row has weight 0. Shape (probes, m).
        size: The number n of eigenvalues that the density describes.
        products: Number of products with the operator.
    """

    nodes: np.ndarray
    weights: np.ndarray
    size: int
    products: int

    def moment(self, power: int) -> tuple[float, float]:
        """tr(A^power) / n and its standard error over the probes.

        Args:
            power: The power, 0 or more; exact for each probe up to 2 m - 1.
        """
        each = np.sum(self.weights * self.nodes**power, axis=1)
        return float(np.mean(each)), _standard_error(each)

    def smoothed(
        self, grid: np.ndarray | None = None, width: float | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The density on a grid, each node spread into a Gaussian.

            p(t) = mean over probes of sum_i w_i N(t; theta_i, width^2)

        Args:
            grid: Where; None for 1000 points that cover all nodes and four widths more.
            width: Standard deviation of the Gaussians, positive; None for 1 % of the range,
                or of the magnitude where all nodes are equal.

        Returns:
            The grid and the density, which integrates to 1.

        Raises:
            ValueError: If the width is not positive.
        """
        low, high = float(np.min(self.nodes)), float(np.max(self.nodes))
        if width is None:
            largest = max(abs(low), abs(high)) or 1.0
            spread = high - low
            width = 0.01 * (spread if spread > 1e-6 * largest else largest)  # not of rounding alone
        if not width > 0.0:
            raise ValueError(f"smoothed: `width` must be positive, but is {width}.")
        if grid is None:
            grid = np.linspace(low - 4.0 * width, high + 4.0 * width, 1000)
        grid = np.asarray(grid, np.float64)
        density = np.zeros_like(grid)
        for nodes, weights in zip(self.nodes, self.weights, strict=True):
            z = (grid[..., None] - nodes) / width
            density += np.exp(-0.5 * z**2) @ weights
        return grid, density / (len(self.nodes) * width * np.sqrt(2.0 * np.pi))


def spectral_density(
    operator: Operator,
    *,
    probes: int | jax.Array | np.ndarray = 10,
    steps: int = 80,
    key: jax.Array | int | None = None,
    progress: Callable[[int, int], Any] | None = None,
) -> SpectralDensity:
    """The distribution of all eigenvalues, from a few random vectors.

    For a probe v of norm 1, Lanczos' T = S diag(theta) S' is a Gauss quadrature:

        v' f(A) v = sum_i w_i f(theta_i),   w_i = (first component of s_i)^2,

    exact for polynomials f up to degree 2 m - 1; the mean over random probes is tr(f(A)) / n. The
    outlying eigenvalues have nodes of their own, and the bulk is seen as a density. Its weights
    tell shares of the spectrum down to about 1 / (n probes).

    Shapes: nodes and weights (probes, steps); the basis takes (steps + 1) n numbers.
    Units: nodes in those of the operator.

    Args:
        operator: What to describe.
        probes: How many random normal vectors, at least 1; or the vectors themselves as rows, of
            shape (probes, n) and not 0, such as all unit vectors for an exact result.
        steps: Lanczos steps for each, at least 1; no more than n are taken.
        key: Key for the probes, or an integer; None for a fixed one.
        progress: Called with the number of products so far and of all of them.

    Returns:
        The density.

    Raises:
        TypeError: If no operator is given, or it is called while JAX is tracing.
        ValueError: If a number is out of its range, or the probes have another shape or are 0.
        FloatingPointError: If a product is not finite.

    Source: Ghorbani, Krishnan, Xiao 2019, https://arxiv.org/abs/1901.10159, algorithms 1 and 2;
        Golub, Welsch 1969, https://doi.org/10.1090/S0025-5718-69-99647-1, for the quadrature.
    """
    owner = "spectral_density"
    check_outside_jit(owner, operator)
    size = operator.size
    given = np.asarray(probes)
    given = None if given.ndim == 0 and np.issubdtype(given.dtype, np.integer) else given
    if given is not None and (given.ndim != 2 or given.shape[1] != size or not given.shape[0]):
        raise ValueError(
            f"{owner}: probes given as vectors must have shape (probes, {size}), but have "
            f"{given.shape}."
        )
    if given is not None and not np.all(np.any(given, axis=1)):
        raise ValueError(f"{owner}: probes must not be 0, but one of them is: it has no direction.")
    count = int(np.asarray(probes)) if given is None else len(given)
    if count < 1 or steps < 1:
        raise ValueError(
            f"{owner}: `probes` and `steps` must be at least 1, but they are {count} and {steps}."
        )
    steps = min(steps, size)
    rng = generator(owner, key)
    nodes: list[np.ndarray] = []
    weights, products = np.zeros((count, steps)), 0
    for probe in range(count):
        lanczos = Lanczos(operator, steps, rng)
        lanczos.begin(None if given is None else given[probe])
        while lanczos.size < steps and not lanczos.invariant:
            lanczos.step()
            if progress is not None:
                progress(products + lanczos.products, count * steps)
        ritz, m = lanczos.ritz(), lanczos.size
        weights[probe, :m] = ritz.vectors[0] ** 2
        nodes.append(np.pad(ritz.values, (0, steps - m), mode="edge"))
        products += lanczos.products
    return SpectralDensity(np.stack(nodes), weights, size, products)


def _standard_error(each: np.ndarray) -> float:
    return float(np.std(each, ddof=1) / np.sqrt(len(each))) if len(each) > 1 else float("nan")
