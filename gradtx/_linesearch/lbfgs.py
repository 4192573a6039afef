"""The limited-memory BFGS direction."""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from .._core.body import Body
from .._core.flow import Flow
from .._core.leaves import describe_leaf, path_names
from .._core.numerics import divide, root, safe_increment, widened
from .._core.state import cast_like
from .._core.transformation import GradientTransformation, from_body, transformation
from .._core.wrap import check_state, need_params
from .._parts.norms import shrinking
from ..typing import PerParam, PerParamStack, PositiveInt, Scalar, Tally
from .line import first_state, number_dtype, total_inner


class ScaleByLBFGSState(NamedTuple):
    """Step count, parameters and updates of the step before, and what is remembered of changes.

    The memories have one entry for each of the last steps, in the order of step modulo their
    length; an entry of `weights_memory` is one over the product of both changes.
    """

    count: Tally
    params: PerParam
    updates: PerParam
    diff_params_memory: PerParamStack
    diff_updates_memory: PerParamStack
    weights_memory: Scalar


class _Memory(NamedTuple):
    """A state whose trees are lists over the leaves that move."""

    count: Any
    params: list
    updates: list
    s: list
    y: list
    rho: Any


@functools.partial(jax.jit, static_argnums=(3, 4))
def _lbfgs(
    updates: list, params: list, old: _Memory, scale_init_precond: bool, splits: tuple
) -> tuple[list, _Memory]:
    """The direction, and the memory with the step that led here in it."""
    m, dtype = old.rho.shape[0], old.rho.dtype
    g = [u.astype(stack.dtype) for u, stack in zip(updates, old.y, strict=True)]
    began = old.count > 0  # before, nothing has changed yet
    s = [_change(began, new, was, g) for new, was, g in zip(params, old.params, g, strict=True)]
    y = [_change(began, new, was, g) for new, was, g in zip(g, old.updates, g, strict=True)]
    curvature = total_inner(s, y, splits, dtype)
    newest = (old.count + m - 1) % m
    memory = _Memory(
        count=safe_increment(old.count),
        params=cast_like([jnp.copy(p) for p in params], old.params),
        updates=[jnp.copy(u) for u in g],
        s=[_put(stack, x, newest) for stack, x in zip(old.s, s, strict=True)],
        y=[_put(stack, x, newest) for stack, x in zip(old.y, y, strict=True)],
        rho=_put(old.rho, divide(jnp.ones_like(curvature), curvature), newest),
    )
    gamma = jnp.ones([], dtype)
    if scale_init_precond:
        size, norm = total_inner(y, y, splits, dtype), root(total_inner(g, g, splits, dtype))
        later = jnp.where(size > 0, divide(curvature, size), 1)
        gamma = jnp.where(began, later, shrinking(norm, jnp.ones_like(norm)))
    oldest_first = (old.count + jnp.arange(m, dtype=old.count.dtype)) % m
    return _two_loops(g, memory, gamma, oldest_first, splits), memory


def _two_loops(
    g: list, memory: _Memory, gamma: jax.Array, oldest_first: jax.Array, splits: tuple
) -> list:
    """Algorithm 7.4: the inverse Hessian that the memory stands for, times g."""
    dtype = memory.rho.dtype

    def down(q: list, i: jax.Array) -> tuple[list, jax.Array]:
        s, y = _entry(memory.s, i), _entry(memory.y, i)
        alpha = memory.rho[i] * total_inner(s, q, splits, dtype)
        return _plus(q, -alpha, y), alpha

    def up(r: list, at: tuple[jax.Array, jax.Array]) -> tuple[list, None]:
        i, alpha = at
        s, y = _entry(memory.s, i), _entry(memory.y, i)
        beta = memory.rho[i] * total_inner(y, r, splits, dtype)
        return _plus(r, alpha - beta, s), None

    q, alphas = lax.scan(down, g, oldest_first, reverse=True)
    r = [gamma.astype(x.dtype) * x for x in q]
    return lax.scan(up, r, (oldest_first, alphas))[0]


def _change(began: jax.Array, new: jax.Array, before: jax.Array, like: jax.Array) -> jax.Array:
    change = new.astype(like.dtype) - before.astype(like.dtype)
    return jnp.where(began, change, jnp.zeros_like(change))


def _put(stack: jax.Array, x: jax.Array, place: jax.Array) -> jax.Array:
    return lax.dynamic_update_index_in_dim(stack, x, place, axis=0)


def _entry(stacks: list, place: jax.Array) -> list:
    return [lax.dynamic_index_in_dim(x, place, axis=0, keepdims=False) for x in stacks]


def _plus(xs: list, factor: jax.Array, ys: list) -> list:
    return [x + factor.astype(x.dtype) * y for x, y in zip(xs, ys, strict=True)]


@dataclasses.dataclass(eq=False)
class _LBFGS(Body):
    """The gradients multiplied by an inverse Hessian of low rank.

    Attributes:
        name: The constructor's name.
        memory_size: How many steps are remembered.
        scale_init_precond: Whether what the rank is added to is scaled.
    """

    name: str
    memory_size: int
    scale_init_precond: bool

    def init(self, flow: Flow) -> Any:
        dtype = number_dtype(flow)

        def make(params: list) -> ScaleByLBFGSState:
            def tree(function):
                column = [None if p is None else function(p) for p in params]
                return flow.treedef.unflatten(column)

            return ScaleByLBFGSState(
                count=jnp.zeros([], jnp.int32),
                params=tree(jnp.zeros_like),
                updates=tree(lambda p: widened(jnp.zeros_like(p))),
                diff_params_memory=tree(self._empty),
                diff_updates_memory=tree(self._empty),
                weights_memory=jnp.zeros(self.memory_size, dtype),
            )

        return first_state(flow, make)

    def _empty(self, p: jax.Array) -> jax.Array:
        zeros = widened(jnp.zeros_like(p))
        return jnp.broadcast_to(zeros[None], (self.memory_size, *p.shape))

    def update(self, flow: Flow, state: Any) -> Any:
        need_params(self.name, flow)
        state = check_state(self.name, ScaleByLBFGSState, state)
        places = [k for k, on in enumerate(flow.trainable) if on]
        names = ScaleByLBFGSState._fields[1:-1]
        columns = [self._column(flow, state, name) for name in names]
        params, updates, s, y = ([column[k] for k in places] for column in columns)
        old = _Memory(state.count, params, updates, s, y, state.weights_memory)
        self._check(flow, places, old)
        direction, new = _lbfgs(
            [flow.leaves[k] for k in places],
            [flow.param_arrays[k] for k in places],
            old,
            self.scale_init_precond,
            tuple(flow.splits[k] for k in places),
        )
        for column, arrays in zip((flow.leaves, *columns), (direction, *new[1:-1]), strict=True):
            for k, x in zip(places, arrays, strict=True):
                column[k] = x
        trees = map(flow.treedef.unflatten, columns)
        state = state._replace(count=new.count, weights_memory=new.rho)
        return state._replace(**dict(zip(names, trees, strict=True)))

    def _column(self, flow: Flow, state: ScaleByLBFGSState, name: str) -> list:
        return list(flow.column(getattr(state, name), self.name, name))

    def _check(self, flow: Flow, places: list[int], old: _Memory) -> None:
        for k, stack in zip(places, old.s, strict=True):
            expected = (old.rho.shape[0], *flow.leaves[k].shape)
            if getattr(stack, "shape", None) != expected:
                raise ValueError(
                    f"{self.name}: its state field `diff_params_memory` at "
                    f"{path_names(flow.tree)[k]} must have the shape {list(expected)}, but is "
                    f"{describe_leaf(stack)}. Was the state made by init() of other parameters?"
                )


@transformation
def scale_by_lbfgs(
    memory_size: PositiveInt = 10, scale_init_precond: bool = True
) -> GradientTransformation:
    """Multiply the gradients by an inverse Hessian that the last steps tell of.

    With w and g all parameters and gradients as one vector, s_k = w_(k+1) - w_k,
    y_k = g_(k+1) - g_k and rho_k = 1 / (s_k . y_k), at step k:

        u = H_k g_k,   H_(j+1) = (I - rho_j s_j y_j') H_j (I - rho_j y_j s_j') + rho_j s_j s_j'

    for the last `memory_size` changes j, oldest first, from H = gamma I with
    gamma = (s . y) / (y . y) of the newest. u takes 4 memory_size n multiplications and no matrix.
    In the first step, which has no changes, gamma = min(1, 1 / |g|): u is no longer than 1.

    Follow it by `scale(-1.0)` and a line search, as `lbfgs` does: one for the Wolfe conditions
    makes every s . y positive, and u then descends. It is meant for gradients of one and the same
    loss, not of changing batches. A change with s . y = 0 counts for nothing, as after a step of 0;
    one with s . y < 0 is taken as it is.

    Shapes: any; the state keeps 2 memory_size + 2 copies of the parameters, the changes in float32
        or wider.
    Units: u is in those of the parameters, but for the first step.

    Args:
        memory_size: How many changes are kept, an integer of at least 1; 3 to 20 are usual.
        scale_init_precond: Whether gamma is as above; otherwise it is 1.

    Returns:
        The transformation, with a `ScaleByLBFGSState`. Its update needs the parameters.

    Raises:
        ValueError: If `memory_size` is below 1; on update, if the parameters are missing.

    Source: Nocedal, Wright 2006, https://doi.org/10.1007/978-0-387-40065-5, Algorithm 7.4 and
        eq. 7.19, 7.20; Liu, Nocedal 1989, https://doi.org/10.1007/BF01589116.
    Differs: the first gamma is Optax's; the book leaves it open. For complex parameters, products
        are the real parts of conj(x) . y, so that it is L-BFGS in real and imaginary parts.
    """
    return from_body(_LBFGS("scale_by_lbfgs", int(memory_size), scale_init_precond))
