"""A symmetric linear operator on trees shaped like the params."""

import dataclasses
import functools
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec, reshard

from .._core import leaves
from .._core.fuse import cleared_with_caches
from .._core.placement import split_like
from ..typing import Numeric
from ._batches import Stream, examples
from ._layout import Layout, lay_out

_MOST_PROGRAMS = 32
_BLOCK = 8  # vectors in one compiled loop


@dataclasses.dataclass(frozen=True)
class Product:
    """What decides the trace of a product: equal ones share their compiled function.

    `function(functions, rebuild, batch, x, v)` returns A v for one batch as a list of arrays, where
    x are the trained arrays, v is a direction in their dtypes, and rebuild(x) gives the params.
    """

    name: str
    function: Callable[..., Any]
    functions: tuple[Callable[..., Any], ...]
    layout: Layout


@jax.tree_util.register_pytree_node_class
class Operator:
    """A symmetric linear map A on trees shaped like the params.

    Made by `hessian`, `gauss_newton`, `fisher`, `empirical_fisher` or `linear_operator`. A call
    returns A v; the matrix is never formed. Over several batches A is the mean over all examples:

        A v = sum over batches of n_b A_b v / sum of n_b + damping v

    where n_b is the length of the first axis, the same for all arrays of a batch that have axes (1
    if there is none).
    Products are compiled once for each function and shape. The functions must be pure: what they
    close over is compiled in, so pass data that change as arguments, or make a new function. An
    operator is a pytree, so that a function under `jit` can take it as an argument.

    Shapes: v and A v are trees like the params. Leaves that are not floating-point arrays are
        passed over in v and are None in A v.
    Units: those of the loss, over the square of those of the params.
    """

    def __init__(
        self,
        product: Product,
        arrays: Iterable[jax.Array],
        others: Iterable[Any],
        batches: tuple[tuple[Any, ...], ...] | Stream,
        damping: Numeric = 0.0,
    ) -> None:
        self._product, self._arrays, self._others = product, list(arrays), list(others)
        self._batches, self._damping = batches, damping
        self._program: Callable[..., jax.Array] | None = None
        self._copied: NamedSharding | None = None
        self._searched = False  # whether a mesh has been looked for, to copy flat vectors on

    @property
    def size(self) -> int:
        """The number n of trained elements: A is n x n."""
        return self._product.layout.size

    @property
    def dtype(self) -> np.dtype:
        """The dtype of flat vectors: float32, or float64 if one of the params is."""
        return self._product.layout.dtype

    @property
    def eps(self) -> float:
        """The coarsest rounding among the params, such as 1.2e-7 for float32."""
        return self._product.layout.eps

    @property
    def damping(self) -> Numeric:
        """What is added to the diagonal."""
        return self._damping

    def damped(self, damping: Numeric) -> "Operator":
        """A + damping I.

        Args:
            damping: What is added to the diagonal, in the units of A; any real number.

        Raises:
            ValueError: If it is not finite, or no number.
        """
        if np.shape(damping) != ():
            raise ValueError(
                f"damped: `damping` must be one number, but has shape {np.shape(damping)}."
            )
        if not leaves.is_traced(damping) and not np.all(np.isfinite(damping)):
            raise ValueError(f"damped: `damping` must be finite, but is {damping}.")
        total = self._damping + damping
        return Operator(self._product, self._arrays, self._others, self._batches, total)

    def __call__(self, v: Any) -> Any:
        """A v, in the dtypes of the params."""
        layout = self._product.layout
        row = layout.read(self._product.name, v)
        return self._direction(layout.split(self.apply(row)))

    def _direction(self, parts: list[jax.Array]) -> Any:
        """The tree of some arrays, on the devices where those of the params are."""
        placed = [split_like(x, like) for x, like in zip(parts, self._arrays, strict=True)]
        return self._product.layout.direction(placed)

    def place(self, vectors: Any) -> jax.Array:
        """Flat vectors, with a copy on every device that the params or the data are on."""
        if not self._searched:
            self._copied, self._searched = _copied(jax.tree.leaves(self)), True
        if self._copied is None:
            return jnp.asarray(vectors)
        if AxisType.Explicit in self._copied.mesh.axis_types:
            return reshard(jnp.asarray(vectors), self._copied)
        return vectors if leaves.is_traced(vectors) else jax.device_put(vectors, self._copied)

    def apply(self, vectors: jax.Array) -> jax.Array:
        """A times each row, reading every batch once.

        Args:
            vectors: Flat vectors as rows, of shape (k, n), in the order of `flatten`.

        Raises:
            ValueError: If the shape is another one, there is no batch, arrays of one of several
                batches differ in the length of their first axis, or batches that are read from a
                function would be read while JAX is tracing.
        """
        vectors = self.place(jnp.asarray(vectors).astype(self.dtype))
        if vectors.ndim != 2 or vectors.shape[1] != self.size:
            raise ValueError(
                f"{self._product.name}: vectors must have shape (k, {self.size}), a row each, but "
                f"have shape {vectors.shape}."
            )
        known = (vectors, self._arrays, self._others)
        if isinstance(self._batches, Stream) and _any_traced(known):
            raise ValueError(
                f"{self._product.name}: batches that are not kept are read on the host and would "
                "become constants under `jit`. Call it outside, or pass the batches as a list."
            )
        total, weight = None, 0
        for batch in self._batches:
            part = self._multiply(batch, vectors)
            many = not (isinstance(self._batches, tuple) and len(self._batches) == 1)
            count = examples(self._product.name, batch) if many else 1
            part = part * float(count) if many else part
            total, weight = part if total is None else total + part, weight + count
        if total is None or weight == 0:
            raise ValueError(f"{self._product.name}: `batches` must hold at least one example.")
        if weight != 1:
            total = total / float(weight)
        if isinstance(self._damping, (int, float)) and self._damping == 0:
            return total
        return total + jnp.asarray(self._damping).astype(self.dtype) * vectors

    def _multiply(self, batch: tuple[Any, ...], vectors: jax.Array) -> jax.Array:
        arguments = self._arrays, self._others, batch
        if _any_traced((arguments, vectors)):  # what is compiled and kept would keep the tracers
            return _multiply(self._product, *arguments, vectors)
        multiply, rows = self._compiled(), vectors.shape[0]
        if rows == 1:
            return multiply(*arguments, vectors)
        if rows == _BLOCK:
            return multiply(*arguments, vectors, rows)
        # Blocks of one height share one compiled loop; the last block runs over its own rows only.
        padded = jnp.pad(vectors, ((0, -rows % _BLOCK), (0, 0)))
        blocks = [
            multiply(*arguments, padded[start : start + _BLOCK], min(_BLOCK, rows - start))
            for start in range(0, rows, _BLOCK)
        ]
        return jnp.concatenate(blocks)[:rows]

    def _compiled(self) -> Callable[..., jax.Array]:
        if self._program is None:  # looked up once: a layout of many leaves takes time to hash
            self._program = _compiled(self._product)
        return self._program

    def check(self) -> None:
        """Trace the product, so that errors of the functions are told when the operator is made.

        The first product uses the trace. Nothing is done while JAX is tracing, or for batches that
        are not kept.
        """
        if isinstance(self._batches, Stream) or _any_traced(self):
            return
        vector = jax.ShapeDtypeStruct((1, self.size), self.dtype)
        batch = self._batches[0]
        jax.eval_shape(self._compiled(), self._arrays, self._others, batch, vector)

    def flatten(self, v: Any) -> jax.Array:
        """A tree shaped like the params as one vector of shape (n,).

        Args:
            v: The tree. None counts as zeros.

        Raises:
            ValueError: If structures or shapes differ.
        """
        return jnp.ravel(self._product.layout.read(self._product.name, v))

    def unflatten(self, vector: jax.Array) -> Any:
        """The tree of a vector of shape (n,), in float32 or wider.

        Args:
            vector: The vector, in the order of `flatten`.
        """
        layout = self._product.layout
        return self._direction(layout.split(self.place(vector), wide=True))

    def dense(self) -> jax.Array:
        """The matrix, of shape (n, n): n products, for small problems and for tests."""
        return self.apply(jnp.eye(self.size, dtype=self.dtype)).T

    def __repr__(self) -> str:
        names = ", ".join(getattr(f, "__name__", repr(f)) for f in self._product.functions)
        parts = [f"{self._product.name}({names}): {self.size} x {self.size}, {self.dtype}"]
        if isinstance(self._batches, Stream):
            parts.append("batches read as needed")
        elif len(self._batches) > 1:
            parts.append(f"{len(self._batches)} batches")
        if not (isinstance(self._damping, (int, float)) and self._damping == 0):
            parts.append(f"damping {self._damping}")
        return f"<{', '.join(parts)}>"

    def tree_flatten(self) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """For JAX: the arrays, and what is static."""
        stream = self._batches if isinstance(self._batches, Stream) else None
        batches = () if stream is not None else self._batches
        return (self._arrays, self._others, batches, self._damping), (self._product, stream)

    @classmethod
    def tree_unflatten(cls, static: tuple[Any, ...], children: tuple[Any, ...]) -> "Operator":
        """For JAX: the operator again.

        Args:
            static: Product and stream.
            children: Arrays, batches and damping.
        """
        product, stream = static
        arrays, others, batches, damping = children
        return cls(product, arrays, others, batches if stream is None else stream, damping)


def linear_operator(function: Callable[[Any], Any], params: Any) -> Operator:
    """An operator from a function that multiplies by a symmetric matrix.

    Shapes: `function` takes and returns a tree like the params, with None where no floating-point
        array stands.

    Args:
        function: v -> A v, linear and symmetric; pure: arrays that it closes over are compiled
            into it, so make a new function where they change.
        params: Tree that says what v looks like; its values do not matter.

    Returns:
        The operator.

    Raises:
        TypeError: If a leaf of the params is complex.
        ValueError: If they hold no floating-point array, or `function` returns another tree.
    """
    owner = "linear_operator"
    layout, arrays, others = lay_out(owner, params)
    operator = Operator(Product(owner, _given, (function,), layout), arrays, others, ((),))
    operator.check()
    return operator


def check_operator(owner: str, operator: Any) -> None:
    """Raise if something else than an operator is given."""
    if not isinstance(operator, Operator):
        raise TypeError(
            f"{owner}: `operator` must be an Operator, such as hessian(loss, params, batch), but "
            f"is {leaves.with_article(type(operator).__name__)}. Wrap a function v -> A v in "
            "linear_operator."
        )


def check_outside_jit(owner: str, operator: Any) -> None:
    """Raise if no operator is given, or JAX is tracing: the loop looks at numbers."""
    check_operator(owner, operator)
    if _any_traced((operator, jnp.zeros([]))):
        raise TypeError(
            f"{owner}: runs in Python, since it decides from the numbers when to stop: it must be "
            "called outside of jit, vmap and the like. trace, diagonal, hutch_plus_plus and "
            "sharpness work inside."
        )


def _given(functions, rebuild, batch, x, v):
    del batch
    (function,) = functions
    outside = leaves.flatten(rebuild(x))[0]
    trained = iter(v)
    given = [next(trained) if leaves.is_inexact(leaf) else None for leaf in outside]
    treedef = leaves.flatten(rebuild(x))[1]
    result = leaves.align(
        treedef,
        function(treedef.unflatten(given)),
        owner="linear_operator",
        what="what the function returns",
        reference=rebuild(x),
        reference_name="the leaves of the params",
    )
    pairs = [(r, leaf) for r, leaf in zip(result, outside, strict=True) if leaves.is_inexact(leaf)]
    for index, (r, leaf) in enumerate(pairs):
        if not leaves.is_inexact(r) or jnp.shape(r) != jnp.shape(leaf):
            raise ValueError(
                f"linear_operator: trained leaf {index} of what the function returns must be like "
                f"its parameter, {leaves.describe_leaf(leaf)}, but is {leaves.describe_leaf(r)}. "
                "Is A v a tree like v?"
            )
    return [r for r, _ in pairs]


def _multiply(product: Product, arrays, others, batch, vectors, rows=None) -> jax.Array:
    layout = product.layout

    def rebuild(x):
        return layout.params(x, others)

    def one(vector):
        v = [split_like(part, x) for part, x in zip(layout.split(vector), arrays, strict=True)]
        return layout.ravel(product.function(product.functions, rebuild, batch, arrays, v))

    if vectors.shape[0] == 1:
        return one(vectors[0])[None]
    if rows is None:
        return jax.lax.map(one, vectors)
    return jax.lax.fori_loop(
        0, rows, lambda i, out: out.at[i].set(one(vectors[i])), jnp.zeros_like(vectors)
    )


@functools.lru_cache(maxsize=_MOST_PROGRAMS)
def _compiled(product: Product) -> Callable[..., jax.Array]:
    function = functools.partial(_multiply, product)
    functools.update_wrapper(function, _multiply)
    function.__name__ = f"{product.name}_vector_product"  # pyright: ignore[reportAttributeAccessIssue]
    return jax.jit(function)


cleared_with_caches(_compiled.cache_clear)


def _copied(arrays: list[Any]) -> NamedSharding | None:
    """A copy on every device of the mesh that arrays are on; None if they are on none."""
    for array in arrays:
        sharding = None
        if leaves.is_traced(array):
            sharding = jax.typeof(array).sharding
            if AxisType.Explicit not in sharding.mesh.axis_types:
                continue
        elif isinstance(array, jax.Array):
            sharding = array.sharding
        if isinstance(sharding, NamedSharding):
            return NamedSharding(sharding.mesh, PartitionSpec())
    return None


def _any_traced(tree: Any) -> bool:
    return any(leaves.is_traced(leaf) for leaf in jax.tree.leaves(tree))
