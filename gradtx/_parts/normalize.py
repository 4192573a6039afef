"""Normalisation: give updates a chosen norm, or the size of the parameter they move."""

import jax.numpy as jnp

from .._core.numerics import divide, root, scaled
from .._core.rule import Rule
from .._core.transformation import GradientTransformation, lift, transformation
from ..typing import NonNegative, Real
from .norms import measure_square_norm, norm, root_mean_square, scale_by_factor


@transformation
def normalize() -> GradientTransformation:
    """Divide the whole tree by its norm.

    With n = sqrt(sum over all arrays of sum |g|^2):

        u = g / n

    Shapes: any. The norm is one number for the whole tree.
    Units: u has none; its norm is 1, or 0 where g is 0.

    Returns:
        The transformation, without state.
    """
    return normalize_by_update_norm(eps=0.0)


@transformation
def normalize_by_update_norm(
    scale_factor: Real = 1.0, eps: NonNegative = 1e-6
) -> GradientTransformation:
    """Give the whole tree a chosen norm.

    With n = sqrt(sum over all arrays of sum |g|^2):

        u = scale_factor * g / (n + eps)

    Shapes: any. The norm is one number for the whole tree.
    Units: u has those of `scale_factor`, whatever the scale of the gradient.

    Args:
        scale_factor: Norm of the result, a number.
        eps: Added to the norm, in [0, inf), in units of the gradient. Where it is 0, so is the
            update of a zero gradient.

    Returns:
        The transformation, without state.

    Raises:
        ValueError: If an argument is outside its range.
    """
    return lift(_NORMALIZE_BY_UPDATE_NORM, scale_factor=scale_factor, eps=eps)


def _normalizing_factor(totals, state, h):
    return {"factor": divide(h.scale_factor, root(totals.square_norm) + h.eps)}, state


_NORMALIZE_BY_UPDATE_NORM = Rule(
    scale_by_factor, measure=measure_square_norm, conclude=_normalizing_factor
)


@transformation
def normalize_by_block_norm(
    scale_factor: Real = 1.0, eps: NonNegative = 1e-6
) -> GradientTransformation:
    """Give each array a chosen norm.

    For each array g:

        u = scale_factor * g / (sqrt(sum |g|^2) + eps)

    Shapes: any.
    Units: u has those of `scale_factor`, whatever the scale of the gradient.

    Args:
        scale_factor: Norm of each array of the result, a number.
        eps: Added to the norm, in [0, inf), in units of the gradient. Where it is 0, so is the
            update of a zero gradient.

    Returns:
        The transformation, without state.

    Raises:
        ValueError: If an argument is outside its range.
    """
    return lift(_NORMALIZE_BY_BLOCK_NORM, scale_factor=scale_factor, eps=eps)


def _normalize_block(g, state, p, h):
    return scaled(g, divide(h.scale_factor, norm(g) + h.eps)), state


_NORMALIZE_BY_BLOCK_NORM = Rule(_normalize_block)


@transformation
def scale_by_param_block_norm(min_scale: NonNegative = 1e-3) -> GradientTransformation:
    """Multiply each array by the norm of its parameter.

    For each array g and its parameter p:

        u = g * max(sqrt(sum |p|^2), min_scale)

    Shapes: any.
    Units: u has those of g times those of the parameter.

    Args:
        min_scale: Smallest factor, in [0, inf): a parameter of zeros could not move without it.

    Returns:
        The transformation, without state. Its update needs the parameters.

    Raises:
        ValueError: If `min_scale` is outside its range.
    """
    return lift(_SCALE_BY_PARAM_BLOCK_NORM, min_scale=min_scale)


def _scale_by_norm_of_param(g, state, p, h):
    return g * jnp.maximum(norm(p), h.min_scale), state


_SCALE_BY_PARAM_BLOCK_NORM = Rule(_scale_by_norm_of_param, params=True)


@transformation
def scale_by_param_block_rms(min_scale: NonNegative = 1e-3) -> GradientTransformation:
    """Multiply each array by the root mean square of its parameter.

    For each array g and its parameter p:

        u = g * max(sqrt(mean |p|^2), min_scale)

    Shapes: any.
    Units: u has those of g times those of the parameter, whatever the size of the array.

    Args:
        min_scale: Smallest factor, in [0, inf): a parameter of zeros could not move without it.

    Returns:
        The transformation, without state. Its update needs the parameters.

    Raises:
        ValueError: If `min_scale` is outside its range.

    Source: Shazeer, Stern 2018, https://arxiv.org/abs/1804.04235, section 8, where
        `min_scale` is epsilon_2.
    """
    return lift(_SCALE_BY_PARAM_BLOCK_RMS, min_scale=min_scale)


def _scale_by_rms_of_param(g, state, p, h):
    return g * jnp.maximum(root_mean_square(p), h.min_scale), state


_SCALE_BY_PARAM_BLOCK_RMS = Rule(_scale_by_rms_of_param, params=True)
