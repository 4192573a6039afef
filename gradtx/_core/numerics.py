"""Arithmetic that rules share: safe roots and quotients, squares, counts, dtypes."""

import functools
import operator

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from .bounded import bounded


def accumulator_dtype(*dtypes) -> np.dtype:
    """The real dtype to compute in: float32, or float64 as soon as one input is that wide."""
    wide = any(
        jnp.issubdtype(d, jnp.inexact) and jnp.finfo(d).bits > 32 for d in dtypes if d is not None
    )
    # Without jax_enable_x64 an array of NumPy's may be wider than any of JAX's.
    return np.dtype(jax.dtypes.canonicalize_dtype(np.float64) if wide else np.float32)


def with_precision_of(dtype, real_dtype) -> np.dtype:
    """`dtype`'s kind (real or complex) at the width of `real_dtype`; integers stay as they are."""
    if jnp.issubdtype(dtype, jnp.complexfloating):
        return np.result_type(real_dtype, np.complex64)
    if jnp.issubdtype(dtype, jnp.floating):
        return np.dtype(real_dtype)
    return np.dtype(dtype)


def widened(x: jax.Array, real_dtype: np.dtype | None = None) -> jax.Array:
    """x in its own kind of dtype, as wide as `real_dtype`, or float32 and wider without one."""
    dtype = with_precision_of(x.dtype, real_dtype or accumulator_dtype(x.dtype))
    return lax.convert_element_type(x, dtype)


def real_dtype_of(dtype) -> np.dtype:
    """The dtype of the real part."""
    return np.dtype(jnp.finfo(dtype).dtype)


def abs2(x: jax.Array) -> jax.Array:
    """|x|^2, real also for complex x, without the square root that `abs` would take.

    Args:
        x: Array, real or complex.

    Returns:
        Real array of that shape.
    """
    if jnp.iscomplexobj(x):
        return lax.square(lax.real(x)) + lax.square(lax.imag(x))
    return lax.square(x)


def residue(x: jax.Array) -> jax.Array:
    """0 if all entries are finite, else nan.

    It is a sum over entries, which XLA takes on its way through x. A count of those that are not
    finite would first be stored as an array of its own on CPU, four bytes for each entry.

    Args:
        x: Array, real or complex.

    Returns:
        Real scalar.
    """
    difference = x - x  # inf - inf is nan, and XLA leaves it in place for that
    if jnp.iscomplexobj(x):
        difference = lax.real(difference) + lax.imag(difference)
    return jnp.sum(difference)


@jax.custom_jvp
def root(x: jax.Array) -> jax.Array:
    """sqrt(x) whose derivative at 0 is 0 instead of infinity.

    Every square root of a moment or of a norm goes through here, so that an update can be
    differentiated at zero gradients.

    Args:
        x: Real array, at least 0.

    Returns:
        Array of that shape.
    """
    return lax.sqrt(x)


@root.defjvp
def _root_jvp(primals, tangents):
    (x,), (dx,) = primals, tangents
    positive = x > 0
    safe = jnp.where(positive, x, jnp.ones_like(x))
    slope = jnp.where(positive, 0.5 / lax.sqrt(safe), jnp.zeros_like(x))
    return root(x), slope * bounded(dx)


def magnitude(x: jax.Array) -> jax.Array:
    """|x|, real also for complex x, with derivative 0 at 0.

    Args:
        x: Array, real or complex.

    Returns:
        Real array of that shape.
    """
    return root(abs2(x)) if jnp.iscomplexobj(x) else jnp.abs(x)


def sign(x: jax.Array) -> jax.Array:
    """x / |x|, and 0 where x is 0.

    Args:
        x: Array, real or complex.

    Returns:
        Array of that shape and dtype.
    """
    return divide(x, magnitude(x)) if jnp.iscomplexobj(x) else jnp.sign(x)


def divide(numerator: jax.Array, denominator: jax.Array) -> jax.Array:
    """numerator / denominator, and 0 where the denominator is 0; its gradient is finite there.

    The quotient of two moments: both vanish together where no gradient was ever seen, and such
    a parameter must not move.

    Args:
        numerator: Array, real or complex.
        denominator: Array that broadcasts against it.

    Returns:
        Array of the broadcast shape.
    """
    return _quotient(numerator, denominator)


@jax.custom_jvp
def _quotient(numerator, denominator):
    vanishes = denominator == 0
    safe = jnp.where(vanishes, jnp.ones_like(denominator), denominator)
    quotient = numerator / safe
    return jnp.where(vanishes, jnp.zeros_like(quotient), quotient)


@_quotient.defjvp
def _quotient_jvp(primals, tangents):
    # (n / d)' = (n' - n / d * d') / d: the textbook's d^2 would underflow long before d does.
    (n, d), (dn, dd) = primals, tangents
    quotient = _quotient(n, d)
    return quotient, _quotient(bounded(dn - quotient * dd), d)


@jax.custom_jvp
def scaled(x: jax.Array, factor: jax.Array) -> jax.Array:
    """x times a factor that may be huge where x is 0, as that of a normalised gradient is.

    What is special is the derivative, which is bounded like that of a quotient.

    Args:
        x: Array, real or complex.
        factor: Real scalar, or an array that broadcasts against x.

    Returns:
        Array of the shape of x.
    """
    return x * factor


@scaled.defjvp
def _scaled_jvp(primals, tangents):
    (x, factor), (dx, dfactor) = primals, tangents
    with jax.numpy_dtype_promotion("standard"):
        return x * factor, bounded(dx) * factor + x * dfactor


def add(*terms: jax.Array) -> jax.Array:
    """The sum of arrays: a `merge` for `parallel`.

    Args:
        *terms: Arrays of one shape, at least one.

    Returns:
        Array of that shape.
    """
    return functools.reduce(operator.add, terms)


def multiply(*factors: jax.Array) -> jax.Array:
    """The elementwise product of arrays: a `merge` for `parallel`.

    Args:
        *factors: Arrays of one shape, at least one.

    Returns:
        Array of that shape.
    """
    return functools.reduce(operator.mul, factors)


def average(old: jax.Array, new: jax.Array, decay: jax.Array, complement: jax.Array) -> jax.Array:
    """The exponential moving average: decay old + complement new, with complement = 1 - decay.

    Args:
        old: The average so far.
        new: What enters it.
        decay: Weight of the past, in [0, 1).
        complement: 1 - decay; a rule has it as `h.one_minus_b`, exact where 1 - b would not be.

    Returns:
        The new average.
    """
    return decay * old + complement * new


def debiasing(log_decay: jax.Array, t: jax.Array) -> jax.Array:
    """1 - decay^t, the weight that an average started at 0 has gathered after t steps.

    Computed as -expm1(t log(decay)): `1 - decay**t` would cancel when decay is close to 1.

    Args:
        log_decay: Logarithm of the decay; a rule has it as `h.log_b`.
        t: Number of steps, an integer of at least 1.

    Returns:
        A number in (0, 1].
    """
    return -jnp.expm1(t.astype(log_decay.dtype) * log_decay)


def safe_increment(count: jax.Array) -> jax.Array:
    """count + 1, staying at the largest value of its dtype instead of wrapping around.

    Args:
        count: Array of integers, or of real numbers.

    Returns:
        Array of the same shape and dtype.

    Raises:
        TypeError: If it has another dtype.
    """
    count = jnp.asarray(count)
    if jnp.issubdtype(count.dtype, jnp.integer):
        largest = jnp.iinfo(count.dtype).max
    elif jnp.issubdtype(count.dtype, jnp.floating):
        largest = jnp.finfo(count.dtype).max
    else:
        raise TypeError(f"safe_increment: a count must be a number, but has dtype {count.dtype}.")
    one = jnp.ones([], count.dtype)
    return jnp.where(count < largest, count + one, count)
