"""Coded means in two phases: send codes of pieces to their owners, then codes of the means."""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ._axes import gathered, mean_of


class Codec(NamedTuple):
    """How a block of numbers is sent.

    Attributes:
        encode: (blocks, how many entries of each count) -> (codes, scales). Blocks lie along
            the last axis; entries that do not count stand at their ends and are 0.
        decode: (codes, scales) -> blocks.
        bits: Size of the code of one entry. A scale is as large as an entry.
    """

    encode: Callable[[jax.Array, jax.Array], tuple]
    decode: Callable[[tuple], jax.Array]
    bits: int

    def gains(self, x: jax.Array, layout: tuple[int, int, int]) -> bool:
        """Whether codes and scales are less to send than the array."""
        pieces, blocks, entries = layout
        coded = pieces * blocks * (entries * self.bits // 8 + x.dtype.itemsize)
        return pieces > 1 and coded < x.size * x.dtype.itemsize


def coded_mean(
    codec: Codec, x: jax.Array, name: str, replicas: int, block_size: int
) -> tuple[jax.Array, jax.Array]:
    """The mean of x over the replicas as its codes tell it, and what this replica still owes.

    The array is cut into one piece a replica, which owns it:

        1. each replica sends the codes of its pieces to their owners, its own piece to nobody;
        2. an owner takes the mean of what it gets and of its own piece, and sends codes of it
           to all.

    A replica owes what the codes of step 1 lack of its x; an owner owes, times the number of
    replicas, what the codes of step 2 lack of the mean. So the mean of what is owed is what the
    result lacks of the mean.

    Args:
        codec: How blocks are coded.
        x: Real array.
        name: The axis of the replicas.
        replicas: How many there are.
        block_size: Largest number of entries that share a scale.
    """
    layout = _layout(x.size, replicas, block_size)
    if not codec.gains(x, layout):
        return mean_of(x, (name,)), jnp.zeros_like(x)
    pieces, counts = _cut(x, layout), _counts(x.size, layout)
    me = lax.axis_index(name)
    mine = (jnp.arange(replicas, dtype=me.dtype) == me)[:, None, None]
    own_counts = jnp.sum(jnp.where(mine, counts, 0), axis=0)
    sent = codec.encode(pieces, counts)
    received = jax.tree.map(lambda a: lax.all_to_all(a, name, 0, 0), sent)
    own = jnp.sum(jnp.where(mine, pieces, 0), axis=0, keepdims=True)
    mean = jnp.mean(jnp.where(mine, own, codec.decode(received)), axis=0)
    entry = lax.broadcasted_iota(own_counts.dtype, mean.shape, 1)
    mean = jnp.where(entry < own_counts, mean, 0)
    codes = codec.encode(mean, own_counts)
    owed = replicas * (mean - codec.decode(codes))
    owed = jnp.where(mine, owed[None], pieces - codec.decode(sent))
    result = codec.decode(jax.tree.map(lambda a: gathered(a, name), codes))
    return _joined(result, x), _joined(owed, x)


def _layout(size: int, replicas: int, block_size: int) -> tuple[int, int, int]:
    """Pieces, blocks in a piece, entries in a block; a block is a multiple of 8 entries."""
    piece = math.ceil(size / replicas)
    block = min(block_size, 8 * math.ceil(piece / 8)) or 8
    return replicas, math.ceil(piece / block), block


def _cut(x: jax.Array, layout: tuple[int, int, int]) -> jax.Array:
    return jnp.pad(x.reshape(-1), (0, math.prod(layout) - x.size)).reshape(layout)


def _counts(size: int, layout: tuple[int, int, int]) -> jax.Array:
    """How many entries of each block are not padding."""
    pieces, blocks, entries = layout
    left = size - entries * np.arange(pieces * blocks)
    return jnp.asarray(np.clip(left, 0, entries).reshape(pieces, blocks, 1), jnp.int32)


def _joined(pieces: jax.Array, x: jax.Array) -> jax.Array:
    return pieces.reshape(-1)[: x.size].reshape(x.shape)
