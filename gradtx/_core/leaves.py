"""Trees as aligned lists of leaves, and the messages when they do not line up."""

import functools
from typing import Any

import jax
import jax.core
import jax.numpy as jnp
import numpy as np

from .containers import by_path, first_kinds_apart, in_order_of, key_paths, plain


def _is_none(x) -> bool:
    return x is None


def flatten(tree):
    """Leaves and structure of a tree in which `None` counts as a leaf."""
    return jax.tree.flatten(tree, is_leaf=_is_none)


@functools.lru_cache(maxsize=256)
def _inexact_dtype(dtype) -> bool:
    return jnp.issubdtype(dtype, jnp.inexact)


def is_inexact(leaf) -> bool:
    """Whether a leaf can be trained: a real or complex array (or Python number), also abstract."""
    dtype = getattr(leaf, "dtype", None)
    if dtype is None:
        return isinstance(leaf, (float, complex))
    return hasattr(leaf, "shape") and _inexact_dtype(dtype)


def as_array(leaf: Any) -> Any:
    """A Python number as an array; arrays as they are, or of a dtype that JAX has."""
    if isinstance(leaf, (np.ndarray, np.generic)):  # in float64, also without jax_enable_x64
        known = jax.dtypes.canonicalize_dtype(leaf.dtype) == leaf.dtype
        return leaf if known else jnp.asarray(leaf)
    return leaf if hasattr(leaf, "dtype") else jnp.asarray(leaf, jnp.result_type(leaf))


def is_traced(x) -> bool:
    """Whether x stands for a value that is not known yet."""
    return isinstance(x, jax.core.Tracer)


def is_abstract(leaf) -> bool:
    """Whether a leaf only describes an array."""
    return isinstance(leaf, jax.ShapeDtypeStruct)


def path_names(tree) -> list[str]:
    """The path of every leaf as text, in the order of `flatten`."""
    paths = in_order_of(tree, key_paths(plain(tree)))
    return [jax.tree_util.keystr(path) or "(the whole tree)" for path in paths]


def with_article(name: str) -> str:
    """A name in a message: "an EmptyState"."""
    return f"{'an' if name[:1] in 'AEIOUaeiou' else 'a'} {name}"


def describe_leaf(leaf) -> str:
    """A leaf in a message: dtype and shape of an array, type and value of anything else."""
    if hasattr(leaf, "shape") and hasattr(leaf, "dtype"):
        return f"{jnp.dtype(leaf.dtype).name if _named(leaf) else leaf.dtype}{list(leaf.shape)}"
    return f"{type(leaf).__name__} {leaf!r}"[:80]


def _named(leaf) -> bool:
    return not jnp.issubdtype(leaf.dtype, jax.dtypes.extended)


def align(
    treedef,
    tree,
    *,
    owner: str,
    what: str,
    reference,
    reference_name: str,
    same_containers: bool = False,
) -> list:
    """The leaves of `tree` in the order of `treedef`; an error naming the first difference.

    Containers of another kind with the same paths do, unless `same_containers`.
    """
    try:
        return treedef.flatten_up_to(tree)
    except (ValueError, TypeError, KeyError) as error:
        if not same_containers and len(key_paths(tree)) == treedef.num_leaves:
            column = by_path(reference, tree)
            if column is not None and len(column) == treedef.num_leaves:
                return column
        raise ValueError(
            f"{owner}: {reference_name} and {what} must have the same tree structure; "
            f"{_first_difference(reference, tree, reference_name, what)}"
        ) from error


def fitted(updates: Any, params: Any) -> Any:
    """The updates in the structure of the parameters, where these say how that is made.

    Containers of parameters of which only a part has gradients, such as `LookaheadParams`, do so
    by a method `fit_updates`.
    """
    fit = getattr(type(params), "fit_updates", None)
    return updates if fit is None else fit(params, updates)


def _first_difference(reference, tree, reference_name: str, what: str) -> str:
    ours, theirs = path_names(reference), path_names(tree)
    if _is_pair_with(reference, tree):
        return (
            f"{reference_name} are a pair, whose second part has the structure of {what}. Was all "
            "of what jax.value_and_grad returns passed, (value, grads)?"
        )
    missing = [path for path in ours if path not in set(theirs)]
    extra = [path for path in theirs if path not in set(ours)]
    parts = []
    if missing:
        parts.append(f"{reference_name} have {_some(missing)}, {what} {_do(what)} not")
    if extra:
        parts.append(f"{what} {_do(what, 'has', 'have')} {_some(extra)}, {reference_name} do not")
    if not parts:
        return _containers(reference, tree, reference_name, what)
    hint = " Was the state made by init() of other parameters?" if "state" in what else ""
    return "; ".join(parts) + "." + hint


def _is_pair_with(pair, tree) -> bool:
    """Whether a tree is a pair whose second part has the structure of another tree."""
    if type(pair) is not tuple or len(pair) != 2:
        return False
    return jax.tree.structure(pair[1]) == jax.tree.structure(tree)


def _containers(reference, tree, reference_name: str, what: str) -> str:
    apart = first_kinds_apart(reference, tree)
    if apart is None:
        both = f"{jax.tree.structure(reference)} against {jax.tree.structure(tree)}"
        return f"the paths agree, but the containers differ: {both}."
    path, *kinds = apart
    ours, theirs = (with_article(kind.__name__) for kind in kinds)
    place = f" at {jax.tree_util.keystr(path)}" if path else ""
    return (
        f"the paths agree, but {reference_name} have {ours} where {what} "
        f"{_do(what, 'has', 'have')} {theirs}{place}. Convert one of them, for example by "
        "jax.tree.unflatten(jax.tree.structure(params), jax.tree.leaves(grads))."
    )


def _do(what: str, singular: str = "does", plural: str = "do") -> str:
    return singular if "field" in what else plural


def _some(paths: list[str]) -> str:
    rest = f" (and {len(paths) - 1} more)" if len(paths) > 1 else ""
    return paths[0] + rest


def check_gradients(owner: str, grads: list, params: list | None, tree) -> None:
    """Raise if a gradient's kind of dtype cannot belong to its parameter."""
    for index, (g, p) in enumerate(_pairs(grads, params)):
        if g is None or not (is_inexact(p) or is_inexact(g)):
            continue
        if not is_inexact(p):
            raise TypeError(
                f"{owner}: the gradient at {path_names(tree)[index]} must be None or float0 "
                f"because its parameter is {describe_leaf(p)}, which nothing can train, but is "
                f"{describe_leaf(g)}. Were the gradients of another model passed?"
            )
        if not is_inexact(g):
            raise TypeError(
                f"{owner}: the gradient at {path_names(tree)[index]} must be a floating-point "
                f"array because its parameter is {describe_leaf(p)}, but is {describe_leaf(g)}. "
                "Was something else than the gradients passed as updates?"
            )
        if _is_complex(g) and not _is_complex(p):
            raise TypeError(
                f"{owner}: the gradient at {path_names(tree)[index]} must be real like its "
                f"parameter {describe_leaf(p)}, but is {describe_leaf(g)}. Take the real part "
                "before the update."
            )


def check_shapes(
    owner: str, grads: list, params: list | None, tree, of_examples: bool = False
) -> None:
    """Raise if a gradient has not the shape of its parameter.

    With `of_examples` it must have a leading axis of examples before that.
    """
    for index, (g, p) in enumerate(_pairs(grads, params)):
        if not (is_inexact(g) and is_inexact(p)):
            continue
        if of_examples and (np.ndim(g) == 0 or np.shape(g)[1:] != np.shape(p)):
            raise ValueError(
                f"{owner}: the gradient at {path_names(tree)[index]} must have a leading axis of "
                f"examples, and then the shape of its parameter {describe_leaf(p)}, but is "
                f"{describe_leaf(g)}. Gradients of examples come from jax.vmap(jax.grad(...))."
            )
        if not of_examples and np.shape(g) != np.shape(p):
            raise ValueError(
                f"{owner}: the gradient at {path_names(tree)[index]} must have the shape of its "
                f"parameter {describe_leaf(p)}, but is {describe_leaf(g)}. Is a batch axis left "
                "over, or were the gradients of another model passed?"
            )


def _pairs(grads: list, params: list | None) -> list[tuple[Any, Any]]:
    return [] if params is None else list(zip(grads, params, strict=True))


def _is_complex(leaf) -> bool:
    return isinstance(leaf, complex) or jnp.issubdtype(
        getattr(leaf, "dtype", float), jnp.complexfloating
    )
