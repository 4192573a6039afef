"""Trees of parameters that break careless transformations, and gradients for them."""

import zlib
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

DTYPES = ("float32", "float16", "bfloat16", "complex64", "int32", "bool")


def awkward_params(dtypes: Sequence[str] = DTYPES) -> dict[str, Any]:
    """A small tree with every awkward leaf at once, each under a name that says what it is.

    It has a 0-d array, one of size 0, one of zeros, one with five axes, one leaf of each dtype,
    `None` for a leaf, empty containers and nested ones.

    Args:
        dtypes: The dtypes to include. "float64" and "complex128" need `jax.enable_x64(True)`;
            integer and boolean leaves are parameters that no transformation may touch.

    Returns:
        A dict of arrays, the same at every call.
    """
    tree: dict[str, Any] = {
        "none": None,
        "empty": {},
        "scalar": _values("scalar", (), "float32"),
        "size_zero": jnp.zeros((0, 3), jnp.float32),
        "zeros": jnp.zeros((2, 4), jnp.float32),
        "nested": [(_values("nested", (2, 4), "float32"), ()), {}],
        "five_axes": _values("five_axes", (1, 2, 1, 2, 1), "float32"),
    }
    return tree | {dtype: _values(dtype, (2, 4), dtype) for dtype in dtypes if dtype != "float32"}


def few_leaves() -> dict[str, jax.Array]:
    """A tree of three leaves, where compiling is what takes the time.

    Returns:
        A dict with a 0-d and a 2-d array of float32, and a 2-d one of bfloat16.
    """
    return {
        "scalar": _values("scalar", (), "float32"),
        "matrix": _values("matrix", (2, 4), "float32"),
        "narrow": _values("narrow", (2, 4), "bfloat16"),
    }


def many_leaves(count: int = 1000) -> dict[str, Any]:
    """A tree of many small leaves of few shapes, as models with many layers have.

    Args:
        count: How many leaves, at least 1.

    Returns:
        A dict of dicts of float32 arrays.
    """
    shapes = ((2, 4), (), (1, 2, 1, 2, 1))
    return {
        f"layer_{i // 3}_{i % 3}": {"w": _values(f"{i}", shapes[i % 3], "float32")}
        for i in range(count)
    }


def gradients_like(params: Any, seed: int = 0, scale: float = 1.0) -> Any:
    """Random gradients for a tree of parameters, as `jax.grad` would return them.

    Args:
        params: Tree of parameters.
        seed: Another seed gives other numbers; the same gives the same.
        scale: Standard deviation of the numbers.

    Returns:
        A tree of the same structure: normal numbers in the dtype of each real or complex array,
        float0 for integers and booleans, None for None.
    """
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda p: _gradient(rng, p, scale), params)


def constant_like(params: Any, value: float) -> Any:
    """Gradients whose every entry has one magnitude, with alternating signs.

    Args:
        params: Tree of parameters.
        value: The magnitude.

    Returns:
        A tree like `gradients_like`.
    """

    def constant(p):
        if not is_trainable(p):
            return _gradient(None, p, value)
        signs = 1 - 2 * (np.arange(p.size).reshape(p.shape) % 2)
        return jnp.asarray(value * signs).astype(p.dtype)

    return jax.tree.map(constant, params)


def is_trainable(p: Any) -> bool:
    """Whether a leaf is a real or complex array."""
    return hasattr(p, "dtype") and bool(jnp.issubdtype(p.dtype, jnp.inexact))


def trainable_only(tree: Any) -> Any:
    """The tree with None for everything that is no real or complex array."""
    return jax.tree.map(lambda x: x if is_trainable(x) else None, tree)


def _gradient(rng, p, scale: float) -> Any:
    if is_trainable(p):
        g = scale * rng.normal(size=p.shape)
        if jnp.issubdtype(p.dtype, jnp.complexfloating):
            g = g + 1j * scale * rng.normal(size=p.shape)
        return jnp.asarray(g).astype(p.dtype)
    return np.zeros(np.shape(p), jax.dtypes.float0)


def _values(name: str, shape: tuple[int, ...], dtype: str) -> jax.Array:
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    x = rng.normal(size=shape)
    if dtype.startswith("complex"):
        x = x + 1j * rng.normal(size=shape)
    if dtype.startswith(("int", "uint")):
        x = rng.integers(0, 9, shape)
    return jnp.asarray(x > 0 if dtype == "bool" else x).astype(dtype)
