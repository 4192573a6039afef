"""A loss along a line through the parameters: what every line search asks for."""

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from .._core import leaves
from .._core.derivatives import real_scalar
from .._core.flow import Flow
from .._core.leaves import is_abstract, is_traced
from .._core.numerics import accumulator_dtype, widened, with_precision_of
from .._core.reduce import Split, axes_of, over_shards
from .._core.wrap import need_params

S = TypeVar("S")

# What an update needs for itself; value_fn gets none of it.
OWN = ("value", "grad", "value_fn")


class Line:
    """The loss at w + a u as a function of the step a.

    To differentiation everything here is a constant.

    Attributes:
        owner: Who searches, for messages.
        dtype: Dtype of steps, values and slopes.
        value: The loss at a = 0.
        slope: Its derivative there; negative if u descends.
        grad: The gradient there, as `jax.grad` returns it, an array for each of `places`.
        places: Which of the leaves of the flow move.
    """

    def __init__(self, owner: str, flow: Flow, dtype: Any):
        need_params(owner, flow)
        flow.need(owner, *OWN)
        value_fn = flow.needed_function(owner, "value_fn")
        self.owner, self.dtype, self._flow = owner, dtype, flow
        self._value_fn = functools.partial(value_fn, **_arguments(owner, value_fn, flow.extra))
        self.places = [k for k, on in enumerate(flow.trainable) if on]
        self._params = lax.stop_gradient([flow.param_arrays[k] for k in self.places])
        self._direction = lax.stop_gradient([widened(flow.leaves[k]) for k in self.places])
        self._splits = tuple(flow.splits[k] for k in self.places)
        given = flow.needed_tree(owner, "grad")
        grad = lax.stop_gradient([given[k] for k in self.places])
        self.value = lax.stop_gradient(self._number("value", flow.needed_extra(owner, "value")))
        self.slope = total_inner(grad, self._direction, self._splits, dtype)
        self.grad = [jnp.conj(g).astype(p.dtype) for g, p in zip(grad, self._params, strict=True)]

    def value_at(self, a: jax.Array) -> jax.Array:
        """The loss at w + a u."""
        return self._loss(self._point(a))

    def all_at(self, a: jax.Array) -> tuple[jax.Array, jax.Array, list[jax.Array]]:
        """The loss at w + a u, its slope along u, and its gradient."""
        value, grad = jax.value_and_grad(self._loss)(self._point(a))
        return value, self._slope_of(grad), grad

    def grad_at(self, a: jax.Array) -> list[jax.Array]:
        """The gradient at w + a u."""
        return jax.grad(self._loss)(self._point(a))

    def advance(self, a: jax.Array) -> None:
        """Make the updates of the flow a u."""
        given = [self._flow.leaves[k] for k in self.places]
        for k, u in zip(self.places, _scaled(lax.stop_gradient(a), given), strict=True):
            self._flow.leaves[k] = u

    def tree(self, arrays: list[jax.Array], old: Any, field: str) -> Any:
        """Arrays as a tree like the updates, with what the state has where nothing moves."""
        column = list(self._flow.column(old, self.owner, field))
        for k, x in zip(self.places, arrays, strict=True):
            column[k] = x
        return self._flow.treedef.unflatten(column)

    def _point(self, a: jax.Array) -> list[jax.Array]:
        dtypes = tuple(np.dtype(self._flow.dtypes[k]) for k in self.places)
        return _moved(self._params, self._direction, a, dtypes)

    def _loss(self, arrays: list[jax.Array]) -> jax.Array:
        filled: list[Any] = list(self._flow.params or ())
        for k, x in zip(self.places, arrays, strict=True):
            filled[k] = x
        value = self._value_fn(self._flow.all_params_at(filled))
        return self._number("value_fn", real_scalar(self.owner, "value_fn", value))

    def _number(self, name: str, value: jax.Array) -> jax.Array:
        value = jnp.asarray(value)
        if value.ndim or jnp.iscomplexobj(value):
            raise ValueError(
                f"{self.owner}: `{name}` must be one real number, the loss at the parameters, but "
                f"is {leaves.describe_leaf(value)}. Is a mean over the batch missing?"
            )
        return value.astype(self.dtype)

    def _slope_of(self, grad: list[jax.Array]) -> jax.Array:
        return total_inner([jnp.conj(g) for g in grad], self._direction, self._splits, self.dtype)


def _arguments(owner: str, value_fn: Callable, extra: dict) -> dict[str, Any]:
    """Those of the extra arguments that a function of the parameters takes, too."""
    try:
        signature = inspect.signature(value_fn)
    except (TypeError, ValueError):  # some builtins have none
        return {}
    parameters = list(signature.parameters.values())
    others = {name: x for name, x in extra.items() if name not in OWN}
    if not any(p.kind is p.VAR_KEYWORD for p in parameters):
        by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        names = {p.name for p in parameters[1:] if p.kind in by_name}
        names |= {p.name for p in parameters[:1] if p.kind is p.KEYWORD_ONLY}
        others = {name: x for name, x in others.items() if name in names}
    try:
        signature.bind(None, **others)
    except TypeError as error:
        raise TypeError(
            f"{owner}: `value_fn` is called with the parameters and those extra arguments of "
            f"update that it takes, {sorted(others)}: {error}."
        ) from None
    return others


@functools.partial(jax.jit, static_argnums=(2, 3))
def total_inner(
    xs: list[jax.Array], ys: list[jax.Array], splits: tuple[Split | None, ...], dtype: Any
) -> jax.Array:
    """The real part of the sum of conj(x) y over all entries of all arrays, as a number of dtype.

    Inside a `jax.shard_map` it is over all shards of each array.
    """
    totals: dict[tuple[str, ...], jax.Array] = {}
    for x, y, split in zip(xs, ys, splits, strict=True):
        axes, term = axes_of(split), _dot(x, y).astype(dtype)
        totals[axes] = totals[axes] + term if axes in totals else term
    result = jnp.zeros([], dtype)
    for axes, total in totals.items():
        result = result + over_shards(total, axes)
    return result


def _dot(x: jax.Array, y: jax.Array) -> jax.Array:
    real = accumulator_dtype(x.dtype, y.dtype)
    x, y = widened(x, real), widened(y, real)
    if jnp.iscomplexobj(x):
        return jnp.sum(lax.real(x) * lax.real(y) + lax.imag(x) * lax.imag(y))
    return jnp.sum(x * y)


@functools.partial(jax.jit, static_argnums=3)
def _moved(params, direction, a, dtypes):
    """w + a u as `apply_updates` gets it: a u in the gradient's dtype, the sum in w's."""
    points = []
    for p, u, dtype in zip(params, direction, dtypes, strict=True):
        wide = with_precision_of(p.dtype, accumulator_dtype(p.dtype, dtype))
        change = _rounded(a.astype(u.dtype) * u, dtype).astype(wide)
        points.append(_rounded(p.astype(wide) + change, p.dtype))
    return points


def _rounded(x: jax.Array, dtype: Any) -> jax.Array:
    """x in a dtype; a loss that widens it again must see it rounded, which XLA would leave out."""
    if jnp.issubdtype(dtype, jnp.floating) and jnp.finfo(dtype).bits < jnp.finfo(x.dtype).bits:
        x = lax.reduce_precision(x, jnp.finfo(dtype).nexp, jnp.finfo(dtype).nmant)
    return x.astype(dtype)


@jax.jit
def _scaled(a, updates):
    """a u, and 0 where a is 0 even if u is not finite."""
    updates = [widened(u) for u in updates]
    return [jnp.where(a == 0, jnp.zeros_like(u), a.astype(u.dtype) * u) for u in updates]


@jax.jit
def chosen(new_one: jax.Array, new: list[jax.Array], old: list[jax.Array]) -> list[jax.Array]:
    """The new arrays if `new_one`, else the old ones."""
    return [jnp.where(new_one, n, o) for n, o in zip(new, old, strict=True)]


def repeat(goes_on: Callable[[S], jax.Array], step: Callable[[S], S], state: S) -> S:
    """`lax.while_loop`, but a loop of Python where all values are known.

    Outside `jit` nothing is then compiled: a search compiled around a `value_fn` could not be kept
    for the next step, whose `value_fn` may be another function or close over other data.
    """
    while True:
        wanted = goes_on(state)
        if is_traced(wanted):
            return lax.while_loop(goes_on, step, state)
        if not wanted:
            return state
        state = step(state)


def number_dtype(flow: Flow) -> Any:
    """The dtype of values and steps: float32, or float64 if a parameter is that wide."""
    return accumulator_dtype(*(d for d in flow.dtypes if d is not None))


def first_state(flow: Flow, make: Callable[[list], Any]) -> Any:
    """The state that `make` returns for the leaves, or what describes it where they are abstract.

    Args:
        flow: The flow of an init.
        make: Function of the parameters in the order of the leaves, None where nothing is trained.
    """
    given = [p if on else None for p, on in zip(flow.leaves, flow.trainable, strict=True)]
    if any(is_abstract(p) for p in given):
        return jax.eval_shape(make, given)
    return make(given)


def print_if(condition: jax.Array, message: str, **values: Any) -> None:
    """Print a message with values in it if the condition holds, also where it is traced."""
    if not is_traced(condition):
        if condition:
            jax.debug.print(message, **values)
        return
    lax.cond(condition, lambda: jax.debug.print(message, **values), lambda: None)
