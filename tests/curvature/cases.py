"""Operators whose matrices are known, and a small network."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np

from gradtx import curvature

SIZE = 40


def quadratic(x, A):
    """x' A x / 2: its Hessian is A, and all matrices of one size share a compiled product."""
    return 0.5 * jnp.vdot(x, A @ x)


def matrix(eigenvalues, seed=0):
    """A symmetric matrix with these eigenvalues and random eigenvectors."""
    rng = np.random.default_rng(seed)
    Q, _ = np.linalg.qr(rng.standard_normal((len(eigenvalues), len(eigenvalues))))
    return (Q * np.asarray(eigenvalues, float)) @ Q.T


def operator(eigenvalues, dtype=float, seed=0):
    """The operator of such a matrix, in the dtype that the configuration has for `float`."""
    A = jnp.asarray(matrix(eigenvalues, seed), dtype)
    return curvature.hessian(quadratic, np.zeros(len(eigenvalues), A.dtype), A)


def ends(eigenvalues, largest, smallest):
    """The largest and the smallest of some numbers, descending."""
    ordered = np.sort(np.asarray(eigenvalues, float))[::-1]
    if largest + smallest >= len(ordered):
        return ordered
    return np.concatenate([ordered[:largest], ordered[len(ordered) - smallest :]])


def network(sizes, seed=0):
    """Weights and biases of a network."""
    rng = np.random.default_rng(seed)
    return [
        {
            "w": rng.standard_normal((m, n)) / np.sqrt(m),
            "b": 0.1 * rng.standard_normal(n),
        }
        for m, n in itertools.pairwise(sizes)
    ]


def apply(params, x):
    """The outputs of a network with hyperbolic tangents."""
    *hidden, last = params
    for layer in hidden:
        x = jnp.tanh(x @ layer["w"] + layer["b"])
    return x @ last["w"] + last["b"]


def cross_entropy(logits, labels):
    """The mean negative log-likelihood of the labels."""
    picked = jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], axis=-1)
    return -jnp.mean(picked)


def loss(params, x, y):
    """The cross-entropy of a network."""
    return cross_entropy(apply(params, x), y)


def data(sizes, examples, seed=1):
    """Inputs and labels for a network."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal((examples, sizes[0])), rng.integers(0, sizes[-1], examples, np.int32)


def flat(function, params):
    """The function of a flat vector, and the vector of the params."""
    leaves, treedef = jax.tree.flatten(params)
    ends = np.cumsum([leaf.size for leaf in leaves])

    def of_vector(v, *args):
        parts = [v[end - leaf.size : end] for end, leaf in zip(ends, leaves, strict=True)]
        shaped = [part.reshape(leaf.shape) for part, leaf in zip(parts, leaves, strict=True)]
        return function(treedef.unflatten(shaped), *args)

    return of_vector, np.concatenate([np.ravel(leaf) for leaf in leaves])
