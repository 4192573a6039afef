"""Means over replicas in few bits: int8 and signs, with error feedback."""

import jax.numpy as jnp

from .._core.numerics import divide
from .._core.rule import Rule
from .._core.transformation import GradientTransformation, lift, transformation
from ..typing import PositiveInt
from ._axes import axis_size, one_axis
from ._feedback import ErrorFeedbackState, with_feedback
from ._two_phase import Codec, coded_mean


@transformation
def int8_mean_over(axis: str, block_size: PositiveInt = 256) -> GradientTransformation:
    """Replace each gradient by its mean over the replicas, sent in 8 bits an entry.

    Every block of `block_size` entries is sent as a scale and integers:

        s = max |x| / 127,    x is sent as s round(x / s)

    For each array g_r of replica r = 1, ..., n, with the residual e_r = 0 before:

        x_r = g_r + e_r
        u = code(mean over r of code(x_r)),    e_r = what the codes lack of x_r

    in two phases, each of which sends codes only: pieces of x_r to the replica that owns them,
    then the owner's mean to all. The owner uses its own x_r as it is, and takes n times what the
    second coding lacks into its residual. So at every step the sum of all u so far and the mean
    of the residuals is the sum of all means of g so far.

    Shapes: any. The residual is shaped like g, in float32 or wider, different on each replica.
        Arrays too small to gain are sent as they are. Of an array that is split over other mesh
        axes each shard is coded by itself.
    Units: those of g.

    Args:
        axis: Name of the axis that the replicas are along. It must be bound by `jax.shard_map`
            or `jax.vmap(..., axis_name=axis)` where update is called; the bytes saved are those
            of `shard_map`, under `vmap` over devices XLA decides what is sent, and
            the mesh axis must be an automatic one.
        block_size: Entries that share a scale, at least 1; rounded up to a multiple of 8.

    Returns:
        The transformation, with an `ErrorFeedbackState`. The update is the same on all replicas,
        bit for bit. A block with a nan or inf on one of them comes out as nan on all.

    Raises:
        TypeError: If `axis` is no name.
        ValueError: By update, if the axis is not bound.

    Source: Dettmers 2015, https://arxiv.org/abs/1511.04561, for 8 bits; Tang et al. 2021,
        https://arxiv.org/abs/2102.02888, Algorithm 1, for the feedback in two phases.
    Differs: the codes are even, one scale a block (the first has dynamic ones); the owner of a
        piece does not code its own, so that one residual serves both phases (the second has two).
    """
    return lift(_INT8, static={"axis": one_axis("int8_mean_over", axis), "block_size": block_size})


@transformation
def sign_mean_over(axis: str, block_size: PositiveInt = 256) -> GradientTransformation:
    """Replace each gradient by its mean over the replicas, sent in one bit an entry.

    Every block of `block_size` entries is sent as a scale and signs, 8 of them in a byte:

        s = mean |x|,    x is sent as s where x >= 0 and -s elsewhere

    The rest is as in `int8_mean_over`: two phases, and a residual e_r. Without the residual
    the sign of a gradient whose mean is small would be noise; with it nothing is lost, only late.

    Shapes: those of `int8_mean_over`.
    Units: those of g.

    Args:
        axis: Name of the axis that the replicas are along, bound as for `int8_mean_over`.
        block_size: Entries that share a scale, at least 1; rounded up to a multiple of 8.

    Returns:
        The transformation, with an `ErrorFeedbackState`. The update is the same on all replicas,
        bit for bit. A block with a nan or inf on one of them comes out as no finite number.

    Raises:
        TypeError: If `axis` is no name.
        ValueError: By update, if the axis is not bound.

    Source: Karimireddy et al. 2019, https://arxiv.org/abs/1901.09847, Algorithm 1; in two phases
        Tang et al. 2021, https://arxiv.org/abs/2102.02888, Algorithm 1.
    Differs: what is coded is the gradient, not the learning rate times it (the first) or the
        momentum (the second); blocks are scaled one by one; the owner of a piece does not code
        its own, so that one residual serves both phases.
    """
    return lift(_SIGN, static={"axis": one_axis("sign_mean_over", axis), "block_size": block_size})


def _to_int8(x, counts):
    # Of a block that is not finite the scale says so, whatever the codes are. A maximum alone
    # would not: on CPUs it may overlook a nan.
    finite = jnp.all(jnp.isfinite(x), axis=-1, keepdims=True)
    scale = jnp.where(finite, jnp.max(jnp.abs(x), axis=-1, keepdims=True) / 127, jnp.nan)
    codes = jnp.nan_to_num(divide(x, scale), posinf=0, neginf=0)
    return jnp.clip(jnp.round(codes), -127, 127).astype(jnp.int8), scale


def _from_int8(sent):
    codes, scale = sent
    return codes.astype(scale.dtype) * scale


def _to_signs(x, counts):
    many = jnp.maximum(counts, 1).astype(x.dtype)
    return jnp.packbits(x >= 0, axis=-1), jnp.sum(jnp.abs(x), axis=-1, keepdims=True) / many


def _from_signs(sent):
    bits, scale = sent
    return jnp.where(jnp.unpackbits(bits, axis=-1) == 1, scale, -scale)


_INT8_CODEC = Codec(_to_int8, _from_int8, bits=8)
_SIGN_CODEC = Codec(_to_signs, _from_signs, bits=1)


def _mean_in_int8(g, state, p, h):
    return _coded("int8_mean_over", _INT8_CODEC, g, state, h)


def _mean_of_signs(g, state, p, h):
    return _coded("sign_mean_over", _SIGN_CODEC, g, state, h)


def _coded(owner, codec, g, state, h):
    replicas = axis_size(owner, (h.axis,))
    block_size = 8 * -(-h.block_size // 8)

    def exchange(x):
        return coded_mean(codec, x, h.axis, replicas, block_size)

    u, residual = with_feedback(exchange, g, state.residual)
    return u, ErrorFeedbackState(residual)


_INT8 = Rule(_mean_in_int8, state=ErrorFeedbackState)
_SIGN = Rule(_mean_of_signs, state=ErrorFeedbackState)
