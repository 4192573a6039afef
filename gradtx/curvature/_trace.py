"""Trace and diagonal from products with random vectors, with their standard errors."""

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from .._core.keys import as_key
from ._layout import scaled
from ._operator import Operator, check_operator

_ROWS = 8  # probes that are multiplied together: batches are read once for so many


class Estimate(NamedTuple):
    """An estimate and how far it is typically off.

    Attributes:
        value: The estimate: a scalar, or a tree like the params for a diagonal.
        standard_error: The standard deviation of the estimate, taken from the spread of the
            samples, of the same shape; nan for a single sample.
        products: Number of products with the operator.
    """

    value: Any
    standard_error: Any
    products: int


def trace(
    operator: Operator,
    key: jax.Array | int,
    probes: int = 32,
    distribution: str = "rademacher",
) -> Estimate:
    """The sum of the eigenvalues, by Hutchinson's estimator.

        t = mean over probes of v' A v,   entries of v with mean 0 and variance 1

    Signs v = +-1 ("rademacher") see no noise from the diagonal of A, and their variance,
    2 sum over i != j of A_ij^2 / probes, is below that of normal v, 2 sum of A_ij^2 / probes.

    Shapes: the value is a scalar. Works under `jit`.
    Units: those of the operator.

    Args:
        operator: What to take the trace of.
        key: Key for the probes, or an integer.
        probes: Number of vectors, at least 1.
        distribution: "rademacher" or "normal".

    Returns:
        The estimate.

    Raises:
        TypeError: If no operator is given.
        ValueError: If there is no probe, or the distribution is unknown.

    Source: Hutchinson 1990, https://doi.org/10.1080/03610919008812866; Girard 1989,
        https://doi.org/10.1007/BF01395775, for normal vectors.
    """
    _check("trace", operator, probes, 1, distribution)
    samples = _samples(operator, as_key("trace: `key`", key), probes, distribution)
    value, error = _mean([_forms(v, Av) for v, Av in samples])
    return Estimate(value, error, probes)


def hutch_plus_plus(
    operator: Operator,
    key: jax.Array | int,
    products: int = 48,
    distribution: str = "rademacher",
) -> Estimate:
    """The sum of the eigenvalues, by Hutch++: the large ones exactly, the rest at random.

    With random signs S and G of products / 3 columns each, and P = I - Q Q':

        Q = orthonormal basis of A S,   t = tr(Q' A Q) + mean over columns g of (P g)' A (P g)

    For a semidefinite operator the error falls like 1 / products instead of 1 / sqrt(products).

    Shapes: the value is a scalar; Q takes n products / 3 numbers. Works under `jit`.
    Units: those of the operator.

    Args:
        operator: What to take the trace of.
        key: Key for the random vectors, or an integer.
        products: Number of products with the operator, at least 6; what is left over by division
            by 3 goes to the last part.
        distribution: "rademacher" or "normal".

    Returns:
        The estimate; its standard error is that of the random part.

    Raises:
        TypeError: If no operator is given.
        ValueError: If there are too few products, or the distribution is unknown.

    Source: Meyer, Musco, Musco, Woodruff 2021, https://arxiv.org/abs/2010.09649, algorithm 1.
    """
    _check("hutch_plus_plus", operator, products, 6, distribution)
    first, second = jax.random.split(as_key("hutch_plus_plus: `key`", key))
    columns = min(products // 3, operator.size)
    sketch = jnp.concatenate([Av for _, Av in _samples(operator, first, columns, distribution)])
    Q = _orthonormal(sketch)
    exact = jnp.sum(_forms(Q, operator.apply(Q)))
    samples = _samples(operator, second, products - 2 * columns, distribution, Q)
    value, error = _mean([_forms(v, Av) for v, Av in samples])
    return Estimate(exact + value, error, products)


def diagonal(operator: Operator, key: jax.Array | int, probes: int = 32) -> Estimate:
    """The diagonal, estimated from products with random signs.

        d = mean over probes of v * A v,   v = +-1

    Entry i has variance sum over j != i of A_ij^2 / probes, so a diagonal that dominates is seen
    with few probes. For the exact one of a small problem see `hessian_diag`.

    Shapes: value and standard error are trees like the params, None where nothing is trained.
        Works under `jit`.
    Units: those of the operator.

    Args:
        operator: What to take the diagonal of.
        key: Key for the probes, or an integer.
        probes: Number of vectors, at least 1.

    Returns:
        The estimate.

    Raises:
        TypeError: If no operator is given.
        ValueError: If there is no probe.

    Source: Bekas, Kokiopoulou, Saad 2007, https://doi.org/10.1016/j.apnum.2007.01.003, eq. 1.
    """
    _check("diagonal", operator, probes, 1)
    mean = squares = operator.place(jnp.zeros([operator.size], operator.dtype))
    count, size = 0, jnp.ones([], operator.dtype)
    for v, Av in _samples(operator, as_key("diagonal: `key`", key), probes, "rademacher"):
        if count == 0:
            size, _ = scaled(v * Av)
        mean, squares = _merge(mean, squares, float(count), v * Av / size)
        count += v.shape[0]
    error = jnp.sqrt(squares / (probes * (probes - 1) or math.nan))
    return Estimate(operator.unflatten(mean * size), operator.unflatten(error * size), probes)


_SAMPLERS = {"rademacher": jax.random.rademacher, "normal": jax.random.normal}


def _samples(operator: Operator, key, probes: int, distribution: str, Q: Any = None):
    """Pairs (v, A v), some rows at a time; without their part in the rows of Q."""
    for number, start in enumerate(range(0, probes, _ROWS)):
        shape = min(_ROWS, probes - start), operator.size
        v = operator.place(_draw(key, number, shape, operator.dtype, distribution))
        v = v if Q is None else _project(v, Q)
        yield v, operator.apply(v)


@functools.partial(jax.jit, static_argnums=(2, 3, 4))
def _draw(key, number, shape, dtype, distribution) -> jax.Array:
    return _SAMPLERS[distribution](jax.random.fold_in(key, number), shape, dtype)


@jax.jit
def _forms(v: jax.Array, Av: jax.Array) -> jax.Array:
    """v' A v for each row."""
    return jnp.sum(v * Av, axis=1)


@jax.jit
def _orthonormal(rows: jax.Array) -> jax.Array:
    return jnp.linalg.qr(scaled(rows)[1].T)[0].T


@jax.jit
def _project(v: jax.Array, Q: jax.Array) -> jax.Array:
    exact = jax.lax.Precision.HIGHEST
    return v - jnp.dot(jnp.dot(v, Q.T, precision=exact), Q, precision=exact)


@jax.jit
def _merge(mean, squares, count, entries) -> tuple[jax.Array, jax.Array]:
    """Mean and squared distances from it, with more rows: sums of squares would cancel."""
    rows = float(entries.shape[0])
    new = jnp.mean(entries, axis=0)
    away, total = new - mean, count + rows
    squares = squares + jnp.sum(jnp.square(entries - new), axis=0)
    return mean + away * (rows / total), squares + jnp.square(away) * (count * rows / total)


@jax.jit
def _mean(samples: list[jax.Array]) -> tuple[jax.Array, jax.Array]:
    values = jnp.concatenate(samples)
    count = values.shape[0]
    if count == 1:
        return values[0], jnp.full_like(values[0], math.nan)
    size, values = scaled(values)  # so that the squares of small ones do not vanish
    return size * jnp.mean(values), size * (jnp.std(values, ddof=1) / math.sqrt(count))


def _check(
    owner: str, operator: Operator, count: int, least: int, distribution: str = "rademacher"
) -> None:
    check_operator(owner, operator)
    if count < least:
        what = "products" if owner == "hutch_plus_plus" else "probes"
        raise ValueError(f"{owner}: `{what}` must be at least {least}, but is {count}.")
    if distribution not in _SAMPLERS:
        raise ValueError(
            f"{owner}: `distribution` must be one of {sorted(_SAMPLERS)}, but is {distribution!r}."
        )
