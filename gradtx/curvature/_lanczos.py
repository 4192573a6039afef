"""Lanczos' recurrence with full reorthogonalisation: a basis, and A in that basis."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .._core.keys import as_key
from ._layout import scaled
from ._operator import Operator

_EXACT = jax.lax.Precision.HIGHEST  # accelerators would take products in bfloat16 or TF32
_FIRST_ROWS = 32


class Ritz(NamedTuple):
    """Eigenpairs of A in the basis, ascending.

    Attributes:
        values: Ritz values, shape (m,).
        vectors: Their coordinates as columns, shape (m, m).
        bounds: How far each is at most from an eigenvalue of A, shape (m,).
    """

    values: np.ndarray
    vectors: np.ndarray
    bounds: np.ndarray


class Lanczos:
    """A basis q_1 ... q_m of flat vectors, grown by one product with A a step, and T = Q' A Q.

    After m steps, with the last residual r = beta q_(m+1):

        A Q = Q T + r e_m'

    so a Ritz pair T s = theta s, y = Q s has the residual |A y - theta y| = beta |s_m|, and some
    eigenvalue of A lies within that distance of theta.

    Each new vector is orthogonalised against the whole basis, twice: once leaves what rounding puts
    back, twice leaves nothing above rounding unless the vector vanishes in the process. Without it
    the basis loses its orthogonality as soon as a Ritz value converges, and copies of that value
    appear that A does not have.

    In exact arithmetic the components of A q_j along q_1 ... q_(j-2) are 0 and the one along
    q_(j-1) is known. What is found there instead is the rounding of the products, or the asymmetry
    of an operator that is not symmetric; `rounding` is its largest norm over the steps.

    Source: Golub, Van Loan 2013, Matrix Computations, 4th ed., sections 10.1 and 10.3; Paige 1980,
        https://doi.org/10.1016/0024-3795(80)90167-6, for the loss of orthogonality; Parlett 1998,
        The Symmetric Eigenvalue Problem, sections 6.9 (twice is enough) and 13.2 (the bound).
    """

    def __init__(self, operator: Operator, most: int, rng: np.random.Generator) -> None:
        self.operator, self.most, self._rng = operator, most, rng
        self.size = 0  # vectors that have been multiplied by A
        self.start = 0  # where the present sweep began: rows before it are settled
        self.kept = 0  # rows that came from a restart: A along them is measured, not known
        self.beta, self.scale, self.products = 0.0, 0.0, 0
        self.invariant = False  # whether A maps the span of the basis into itself
        self._noise = 0.0
        self._T = np.zeros((most, most))
        self._errors = np.zeros(most)  # residuals that were dropped, per row
        self._most_rows = _by_eight(most + 1)
        rows = min(self._most_rows, _FIRST_ROWS)
        self._basis = operator.place(np.zeros((rows, operator.size), operator.dtype))
        self._newest: Any = None  # as a matrix of one row

    @property
    def full(self) -> bool:
        """Whether the basis spans the whole space."""
        return self.size >= self.operator.size

    @property
    def rounding(self) -> float:
        """How exact the products are: the error of T, as far as it can be seen from within."""
        eps = float(jnp.finfo(self.operator.dtype).eps)
        return max(self._noise, 4.0 * np.sqrt(16.0 + self.products) * eps * self.scale)

    def begin(self, vector: jax.Array | None = None) -> None:
        """Start a sweep, from a vector or from a random one, orthogonal to all that is there."""
        self.start = self.kept = self.size
        self.beta, self.invariant = 0.0, False
        while True:
            given = self._rng.standard_normal(self.operator.size) if vector is None else vector
            w = self.operator.place(np.asarray(given, self.operator.dtype))
            self._basis, self._newest, _, norm = _extend(self._room(self.size), self.size, w)
            if float(norm) > 0.0 or vector is not None:
                return

    def step(self) -> None:
        """Multiply the newest vector by A and make the next one of what is new in it."""
        j = self.size
        product = self.operator.apply(self._newest)
        self.products += 1
        self._basis, self._newest, found, norm = _extend(self._room(j + 1), j + 1, product)
        first, second = np.asarray(found, np.float64)
        norm = float(norm)
        if not np.isfinite(norm):
            raise FloatingPointError(
                f"{self.operator!r}: a product with a vector of norm 1 is not finite. Are the "
                "params or the data infinite or nan, or does a second derivative not exist there?"
            )
        known = self._T[self.kept : j, j].copy()
        self._noise = max(self._noise, float(np.linalg.norm(first[self.kept : j] - known)))
        self._T[: self.kept, j] = self._T[j, : self.kept] = first[: self.kept]
        self._T[j, j] = first[j] + second[j]
        self.scale = max(self.scale, float(np.hypot(np.linalg.norm(first[: j + 1]), norm)))
        self.size = j + 1
        eps = float(jnp.finfo(self.operator.dtype).eps)
        self.invariant = norm <= 10.0 * eps * self.scale or self.full
        self.beta = 0.0 if self.invariant else norm
        if self.size < self.most:
            self._T[j + 1, j] = self._T[j, j + 1] = self.beta

    def ritz(self, start: int = 0) -> Ritz:
        """Eigenpairs of A in the basis, or in the part of it from a row on."""
        m = self.size
        values, vectors = np.linalg.eigh(self._T[start:m, start:m])
        self.scale = max(self.scale, float(np.max(np.abs(values))))
        # Residuals that were dropped may be parallel to each other: their norms add.
        dropped = self._errors[start:m] @ np.abs(vectors)
        return Ritz(values, vectors, self.beta * np.abs(vectors[-1]) + dropped)

    def restart(self, keep: np.ndarray) -> None:
        """Shrink the present sweep to some Ritz vectors of its own and go on from the residual.

        With theta_i, s_i the Ritz pairs that are kept, y_i = Q s_i and the next vector q:

            A y_i = theta_i y_i + beta s_mi q

        Args:
            keep: Which of `ritz(start)`, as indices.

        Source: Wu, Simon 2000, https://doi.org/10.1137/S0895479898334605, section 2.
        """
        begin, m = self.start, self.size
        ritz = self.ritz(begin)
        S = ritz.vectors[:, keep]
        settled = self._T[:begin, begin:m] @ S
        errors = self._errors[begin:m] @ np.abs(S)
        self._replace(begin, S, ritz.values[keep], errors)
        self._T[:begin, begin : self.size] = settled
        self._T[begin : self.size, :begin] = settled.T
        self._T[begin : self.size, self.size] = self.beta * S[-1]
        self._T[self.size, begin : self.size] = self.beta * S[-1]

    def settle(self, keep: np.ndarray) -> None:
        """Shrink the basis to some Ritz vectors and begin a sweep in their complement.

        Their residuals are dropped, and remembered in the bounds.

        Args:
            keep: Which of `ritz()`, as indices.
        """
        ritz = self.ritz()
        self._replace(0, ritz.vectors[:, keep], ritz.values[keep], ritz.bounds[keep])
        self.begin()

    def vectors(self, coordinates: np.ndarray) -> jax.Array:
        """Flat vectors, as rows, from coordinates in the basis, as columns."""
        return _combine(self._basis, self._rows(coordinates, coordinates.shape[1]))

    def _rows(self, coordinates: np.ndarray, rows: int) -> np.ndarray:
        S = np.zeros((rows, self._basis.shape[0]), self.operator.dtype)
        S[: coordinates.shape[1], : self.size] = coordinates.T
        return S

    def _replace(self, begin, S, values, errors) -> None:
        """Put the combinations S of the rows from `begin` in their place, then the next vector."""
        coordinates = np.zeros((self.size, S.shape[1]))
        coordinates[begin:] = S
        # Rows beyond those that are kept are free: heights by eight share a compiled function.
        rows = self._rows(coordinates, min(_by_eight(S.shape[1]), self._basis.shape[0] - begin))
        self.size = self.kept = begin + S.shape[1]
        self._basis = _shrink(self._basis, rows, begin, self._newest, self.size)
        self._T[begin:], self._T[:, begin:] = 0.0, 0.0
        self._errors[begin:] = 0.0
        here = np.arange(begin, self.size)
        self._T[here, here] = values
        self._errors[here] = errors

    def _room(self, row: int) -> jax.Array:
        """The basis, with room for a row; the memory doubles as it is needed."""
        basis = self._basis
        if row >= basis.shape[0]:
            rows = min(self._most_rows, 2 * basis.shape[0])
            basis = jnp.pad(basis, ((0, rows - basis.shape[0]), (0, 0)))
        return basis


def generator(owner: str, key: Any) -> np.random.Generator:
    """Random numbers for starting vectors: drawn on the host, as the loop runs there."""
    if key is None:
        return np.random.default_rng(0)
    data = jax.random.key_data(as_key(f"{owner}: `key`", key))
    return np.random.default_rng(np.asarray(data).ravel())


@functools.partial(jax.jit, donate_argnums=0)
def _extend(basis: jax.Array, row: Any, w: jax.Array) -> tuple:
    """Put w, orthogonal to the rows before and of norm 1, into a row.

    Returns:
        The basis, the new row, what w had along the others at the first and at the second look, and
        the norm of the rest.
    """
    earlier = jnp.arange(basis.shape[0]) < row
    w = jnp.ravel(w)

    def along(w):
        return jnp.where(earlier, jnp.dot(basis, w, precision=_EXACT), jnp.zeros([], w.dtype))

    first = along(w)
    w = w - jnp.dot(first, basis, precision=_EXACT)
    second = along(w)
    w = w - jnp.dot(second, basis, precision=_EXACT)
    size, w = scaled(w)
    norm = jnp.sqrt(jnp.dot(w, w, precision=_EXACT))
    unit = (w / jnp.where(norm > 0, norm, jnp.ones_like(norm)))[None]
    basis = jax.lax.dynamic_update_slice_in_dim(basis, unit, row, 0)
    return basis, unit, jnp.stack([first, second]), size * norm


@jax.jit
def _combine(basis: jax.Array, S: jax.Array) -> jax.Array:
    return jnp.dot(S, basis, precision=_EXACT)


@functools.partial(jax.jit, donate_argnums=0)
def _shrink(basis: jax.Array, S: jax.Array, begin: Any, newest: jax.Array, end: Any) -> jax.Array:
    rows = jnp.dot(S, basis, precision=_EXACT)
    basis = jax.lax.dynamic_update_slice_in_dim(basis, rows, begin, 0)
    return jax.lax.dynamic_update_slice_in_dim(basis, newest, end, 0)


def _by_eight(rows: int) -> int:
    return -(-rows // 8) * 8
