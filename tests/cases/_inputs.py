"""What the lines of the table give to constructors, and to updates as extra arguments."""

import jax
import jax.numpy as jnp

import gradtx as gx
from gradtx.numerics import abs2


@gx.register
def halve(updates, params):
    """Return half of a tree, for `stateless`."""
    del params
    return gx.scale(0.5).update(updates, gx.EmptyState())[0]


@gx.register
def pull(g, p):
    """Return the gradient of a parabola added, for `stateless_with_tree_map`."""
    return g + p


@gx.register
def rate(count):
    """Return a learning rate that falls with the step, for arguments that take a schedule."""
    return 0.1 / (1.0 + jnp.asarray(count, jnp.float32))


@gx.register
def matrices(params):
    """Return a mask of the leaves with two axes."""
    return jax.tree.map(lambda p: getattr(p, "ndim", 0) == 2, params)


@gx.register
def has_axes(path, leaf):
    """Return whether a leaf is an array with axes, for rules by path."""
    return getattr(leaf, "ndim", 0) > 0


@gx.register
def matrix_axes(params):
    """Return dimension numbers for the leaves with two axes or five, for rules of matrices."""

    def of(p):
        ndim = getattr(p, "ndim", 0)
        return gx.MuonDimensionNumbers((1, 0), -2) if ndim == 5 else MATRIX if ndim == 2 else None

    return jax.tree.map(of, params)


MATRIX = gx.MuonDimensionNumbers()


def loss(params):
    """Return a loss of any tree, whose Hessian in a leaf is I + 11' / 16: exact in any dtype."""
    total = jnp.float32(0)
    for p in jax.tree.leaves(params):
        if jnp.issubdtype(p.dtype, jnp.inexact):
            total += jnp.sum(abs2(p).astype("float32")) / 2
            total += jnp.square(jnp.sum(jnp.real(p).astype("float32"))) / 32
    return total


def sampled_loss(params, key):
    """Return a loss whose labels are drawn, and of how many predictions it is the mean."""
    return loss(params) * jax.random.normal(key, dtype="float32"), 4


def diagonal(params):
    """Return a Hessian diagonal for rules that are scaled by one, as an extra argument."""
    return {"hessian_diagonal": jax.tree.map(lambda p: jnp.cos(jnp.real(p).astype(float)), params)}


@gx.register
def kinds(params):
    """Return the labels of two groups of leaves."""
    return jax.tree.map(lambda p: "matrix" if getattr(p, "ndim", 0) == 2 else "rest", params)


@gx.register
def every_other(count):
    """Return whether a step has an even number."""
    return count % 2 == 0


@gx.register
def norm(updates):
    """Return the norm of a tree, as a measurement."""
    return gx.tree.norm(updates)


@gx.register
def doubled(updates):
    """Return twice a tree, as a measurement."""
    return jax.tree.map(lambda g: 2 * g, updates)


def bowl(params):
    """Return a loss of any tree, computed in float32 whatever the leaves have."""
    parts = [p for p in jax.tree.leaves(params) if jnp.issubdtype(p.dtype, jnp.inexact)]
    parts = [x.astype("float32") for p in parts for x in (jnp.real(p), jnp.imag(p))]
    return sum((jnp.sum(jnp.cosh(x / 8)) for x in parts), jnp.float32(0))


def searched(params):
    """Return what a line search needs, as extra arguments."""
    value, grad = jax.value_and_grad(bowl, allow_int=True)(params)
    grad = jax.tree.map(lambda g: jnp.conj(g) if jnp.iscomplexobj(g) else g, grad)
    return {"value": value, "grad": grad, "value_fn": bowl}


WITH_LOSS = {"obj_fn": loss}
WITH_GRADIENT = {"grad_fn": jax.grad(loss, allow_int=True)}
WITH_GRADIENTS = {"grad_fn": jax.grad(lambda params, i: (1 + i) * loss(params), allow_int=True)}
