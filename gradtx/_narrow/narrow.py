"""Rounding to the formats of 16 bits, in arithmetic of 32: to nearest, at random, and in halves.

What comes out is float32 that the narrow format holds exactly. A cast there and back would not do:
XLA may leave it out, because the value without it is the more exact one.
"""

import jax
import jax.numpy as jnp
from jax import lax

NARROW = ("bfloat16", "float16")
_NAN = 0x7FC00000


def nearest(x: jax.Array, dtype: str) -> jax.Array:
    """x rounded to the nearest number of a narrow format, ties to even.

    Args:
        x: Array of float32.
        dtype: One of `NARROW`.
    """
    if dtype == "bfloat16":
        return _instead_of(x, lax.reduce_precision(x, exponent_bits=8, mantissa_bits=7))
    per_gap, gap = _spacing(x)
    return _instead_of(x, lax.round(x * per_gap, lax.RoundingMethod.TO_NEAREST_EVEN) * gap)


def at_random(x: jax.Array, dtype: str, key: jax.Array) -> jax.Array:
    """x rounded to one of its two neighbours in a narrow format, so that the mean is x.

    The nearer one is the likelier: with the spacing s and the neighbour d below, P(d + s) is
    (x - d) / s. A number of the format stays.

    Args:
        x: Array of float32.
        dtype: One of `NARROW`.
        key: Key of the random numbers.
    """
    if dtype == "bfloat16":
        # The lower half of the bits is that fraction: add a random one, and keep what carries.
        upper = (_bits(x) + (_draws(key, x.shape) >> 16)) & jnp.uint32(0xFFFF0000)
        rounded = jnp.where(jnp.isfinite(x), _number(upper), x)
    else:
        per_gap, gap = _spacing(x)
        size = jnp.abs(x) * per_gap
        below = jnp.floor(size)
        draw = (_draws(key, x.shape) >> 8).astype(jnp.float32) * 2.0**-24
        up = (draw < size - below).astype(jnp.float32)
        rounded = jnp.copysign((below + up) * gap, x)
    return _instead_of(x, rounded)


def halved(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """float32 as the nearest number of bfloat16, ties away from 0, and the lower 16 bits.

    Args:
        x: Array of float32.

    Returns:
        The upper half, as float32, and the lower half, as uint16.
    """
    bits = jnp.where(jnp.isnan(x), jnp.uint32(_NAN), _bits(x))
    upper = (bits + jnp.uint32(0x8000)) & jnp.uint32(0xFFFF0000)
    return _instead_of(x, _number(upper)), (bits & jnp.uint32(0xFFFF)).astype(jnp.uint16)


@jax.jit
def joined(upper: jax.Array, lower: jax.Array) -> jax.Array:
    """The float32 that `halved` took apart.

    Args:
        upper: Array of bfloat16.
        lower: Array of uint16.
    """
    high = lax.bitcast_convert_type(upper, jnp.uint16).astype(jnp.uint32) << 16
    low = lower.astype(jnp.uint32)
    rounded_up = low >= 0x8000
    bits = jnp.where(rounded_up, high - jnp.uint32(0x10000), high) | low
    # 0 was never rounded up to: somebody else put it there, and there is no number below it.
    lost = rounded_up & (high << 1 == 0)
    return _instead_of(upper.astype(jnp.float32), _number(jnp.where(lost, high, bits)))


def once(x: jax.Array) -> jax.Array:
    """x, for two uses that each overwrite a part of what x is made of.

    XLA on CPU would compute x for each of them, from copies. It does so with what is cheap, and
    takes a division by an array for dear, whatever is in it: here 1, which XLA cannot know.
    """
    one = (_bits(x) | jnp.uint32(1)) != 0
    return _instead_of(x, x / one.astype(jnp.float32))


def _draws(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """32 random bits for each entry: a hash of the key and the entry's place.

    XLA computes it on its way through an array; on CPU the generators of `jax.random` are loops of
    their own, which store their numbers first. The mixing is lowbias32 of C. Wellons.
    """
    words = jax.random.key_data(key).reshape(-1)
    place, stride = jnp.zeros(shape, jnp.uint32), 1
    for axis in reversed(range(len(shape))):
        steps = lax.broadcasted_iota(jnp.uint32, shape, axis)
        place += steps * jnp.uint32(stride % 2**32)
        stride *= shape[axis]
    return _mixed(_mixed(place ^ words[0]) + words[1])


def _mixed(x: jax.Array) -> jax.Array:
    x = (x ^ x >> 16) * jnp.uint32(0x7FEB352D)
    x = (x ^ x >> 15) * jnp.uint32(0x846CA68B)
    return x ^ x >> 16


def _spacing(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """1 / s and s, for the spacing s of float16 around x: a power of 2."""
    exponent = jnp.maximum(_bits(x) >> 23 & 0xFF, jnp.uint32(127 - 14))
    return _number((264 - exponent) << 23), _number((exponent - 10) << 23)


def _bits(x: jax.Array) -> jax.Array:
    return lax.bitcast_convert_type(x, jnp.uint32)


def _number(bits: jax.Array) -> jax.Array:
    return lax.bitcast_convert_type(bits, jnp.float32)


@jax.custom_jvp
def _instead_of(x: jax.Array, rounded: jax.Array) -> jax.Array:
    """`rounded`, with the derivative of x."""
    del x
    return rounded


@_instead_of.defjvp
def _instead_of_jvp(primals, tangents):
    return _instead_of(*primals), tangents[0]
