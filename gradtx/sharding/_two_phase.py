"""Coded means in two phases: send codes of pieces to their owners, then codes of the means."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from ._axes import gathered, mean_of


class Codec(NamedTuple):
    """How a block of numbers is sent.

    Attributes:
        encode: (blocks, which entries count) -> arrays to send; the blocks are the last axis.
        decode: what was sent -> blocks.
        bytes_per_block: Bytes sent for a block of so many entries.
    """

    encode: Callable[[jax.Array, jax.Array], Any]
    decode: Callable[[Any, Any], jax.Array]
    bytes_per_block: Callable[[int], int]


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
    plain = x.size * x.dtype.itemsize
    if replicas * layout[1] * codec.bytes_per_block(layout[2]) >= plain:
        return mean_of(x, (name,)), jnp.zeros_like(x)  # a small array: its scales cost more
    pieces = _cut(x, layout)
    counts = _cut(jnp.ones(x.size, bool), layout)
    me = lax.axis_index(name)
    own, own_counts = (lax.dynamic_index_in_dim(a, me, keepdims=False) for a in (pieces, counts))
    sent = codec.encode(pieces, counts)
    received = jax.tree.map(lambda a: lax.all_to_all(a, name, 0, 0), sent)
    mine = (jnp.arange(replicas) == me)[:, None, None]
    mean = jnp.mean(jnp.where(mine, own, codec.decode(received, x.dtype)), axis=0)
    mean = jnp.where(own_counts, mean, 0)
    codes = codec.encode(mean, own_counts)
    owed = replicas * (mean - codec.decode(codes, x.dtype))
    owed = jnp.where(mine, owed, pieces - codec.decode(sent, x.dtype))
    result = codec.decode(jax.tree.map(lambda a: gathered(a, name), codes), x.dtype)
    return _joined(result, x), _joined(owed, x)


def _layout(size: int, replicas: int, block_size: int) -> tuple[int, int, int]:
    """Pieces, blocks in a piece, entries in a block; a block is a multiple of 8 entries."""
    piece = math.ceil(size / replicas)
    block = min(block_size, 8 * math.ceil(piece / 8)) or 8
    return replicas, math.ceil(piece / block), block


def _cut(x: jax.Array, layout: tuple[int, int, int]) -> jax.Array:
    return jnp.pad(x.reshape(-1), (0, math.prod(layout) - x.size)).reshape(layout)


def _joined(pieces: jax.Array, x: jax.Array) -> jax.Array:
    return pieces.reshape(-1)[: x.size].reshape(x.shape)
