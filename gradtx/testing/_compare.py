"""Comparing trees leaf by leaf, with the path of the first difference in the message."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


class ContractError(AssertionError):
    """A part of the contract that does not hold."""


def require(holds: bool, message: str) -> None:
    """Raise `ContractError` with the message unless it holds."""
    if not holds:
        raise ContractError(message)


def with_paths(tree: Any) -> list[tuple[str, Any]]:
    """(path, leaf) for every leaf but None."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return [(jax.tree_util.keystr(path) or "(the whole tree)", leaf) for path, leaf in leaves]


def same_structure(got: Any, want: Any, what: str) -> None:
    """Require equal tree structures."""
    a, b = jax.tree.structure(got), jax.tree.structure(want)
    require(a == b, f"{what} must have the structure {b}, but has {a}.")


def is_key(x: Any) -> bool:
    """Whether x is an array of typed random keys."""
    return hasattr(x, "dtype") and bool(jnp.issubdtype(x.dtype, jax.dtypes.prng_key))


def is_float0(x: Any) -> bool:
    """Whether x is the gradient of an integer (under `jit` its dtype comes back as void)."""
    return getattr(x, "dtype", None) in (jax.dtypes.float0, np.dtype("V"))


def on_host(x: Any) -> np.ndarray:
    """An array as NumPy, keys as their bits."""
    return np.asarray(jax.random.key_data(x) if is_key(x) else x)


def describe(x: Any) -> str:
    """Dtype, shape and weak type of an array."""
    if not hasattr(x, "dtype"):
        return f"{type(x).__name__} {x!r}"
    weak = " (weakly typed)" if getattr(x, "weak_type", False) else ""
    return f"{x.dtype}{list(np.shape(x))}{weak}"


def same_kind(got: Any, want: Any, what: str) -> None:
    """Require equal structures, shapes, dtypes and weak types."""
    same_structure(got, want, what)
    for (path, x), (_, y) in zip(with_paths(got), with_paths(want), strict=True):
        require(
            describe(x) == describe(y),
            f"{what} at {path} is {describe(x)}, but was {describe(y)} after init.",
        )


def close(got: Any, want: Any, what: str, tolerance: float) -> None:
    """Require equal numbers up to rounding.

    Args:
        got: Tree of arrays.
        want: Tree of the same structure.
        what: What `got` is, for the message.
        tolerance: Largest difference relative to the largest entry of the leaf; in a narrow
            dtype at least four units in the last place. At 0 every bit must agree.
    """
    same_structure(got, want, what)
    for (path, x), (_, y) in zip(with_paths(got), with_paths(want), strict=True):
        if is_float0(x):
            continue
        a, b = on_host(x), on_host(y)
        require(a.shape == b.shape, f"{what} at {path} is {describe(x)}, not {describe(y)}.")
        if tolerance == 0 or not jnp.issubdtype(a.dtype, jnp.inexact):
            require(a.tobytes() == b.tobytes(), f"{what} at {path} is {_few(a)}, not {_few(b)}.")
            continue
        bound = max(tolerance, 4 * float(jnp.finfo(a.dtype).eps))
        wide = np.complex128 if np.iscomplexobj(a) else np.float64
        a, b = a.astype(wide), b.astype(wide)
        scale = np.max(np.abs(b[np.isfinite(b)]), initial=0.0)
        equal = (a == b) | (np.isnan(a) & np.isnan(b))  # also inf with inf
        with np.errstate(invalid="ignore"):
            near = equal | (np.abs(a - b) <= bound * scale)
        require(bool(near.all()), f"{what} at {path} is {_few(a)}, not {_few(b)}.")


def finite(tree: Any, what: str) -> None:
    """Require that no entry is infinite or nan."""
    for path, x in with_paths(tree):
        if hasattr(x, "dtype") and jnp.issubdtype(x.dtype, jnp.inexact):
            good = np.isfinite(np.asarray(x).astype(np.complex128)).all()
            require(
                bool(good), f"{what} at {path}, {describe(x)}, must be finite, but is {_few(x)}."
            )


def no_nan(tree: Any, what: str) -> None:
    """Require that no entry is nan; a state may hold an infinity on purpose."""
    for path, x in with_paths(tree):
        if hasattr(x, "dtype") and jnp.issubdtype(x.dtype, jnp.inexact):
            bad = np.isnan(np.asarray(x).astype(np.complex128)).any()
            require(not bad, f"{what} at {path}, {describe(x)}, must not be nan, but is {_few(x)}.")


def _few(x: Any) -> str:
    flat = np.asarray(x).ravel()
    shown = ", ".join(f"{v}" for v in flat[:4])
    return f"[{shown}{', ...' if flat.size > 4 else ''}]"
