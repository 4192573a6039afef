"""Run a body in this step or not: a branch at run time, a Python `if` where the answer is known."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from .._core.body import Body, run, step
from .._core.flow import Flow
from .._core.fuse import total
from .._core.leaves import as_array, is_traced
from .._core.meter import PARAM
from .._core.numerics import abs2, accumulator_dtype, widened, with_precision_of
from .common import state_like


def update_if(wanted: Any, body: Body, flow: Flow, state: Any, *, otherwise: str) -> Any:
    """Send a flow through a body if `wanted`; returns the new state.

    Args:
        wanted: Boolean scalar; traced or not.
        body: The body.
        flow: The updates; its leaves are changed.
        state: The state of the body.
        otherwise: What the updates are if not: "zero", or "unchanged".
    """
    casting = flow.casting
    dtypes = [_dtype(flow, i, casting) if on else None for i, on in enumerate(flow.trainable)]

    def act(branch: Flow) -> tuple[list, Any]:
        new = run(body, branch, state, outermost=casting)
        return _arrays(flow, branch.leaves, dtypes), state_like(new, state)

    def rest() -> tuple[list, Any]:
        if otherwise == "unchanged":
            return _arrays(flow, flow.leaves, dtypes), state
        given = zip(flow.leaves, dtypes, strict=True)
        return [jnp.zeros_like(g, dtype=d) for g, d in given if d is not None], state

    arrays, state = _choose(flow, wanted, act, rest, rests=otherwise == "zero")
    flow.leaves = _filled(flow, arrays, flow.leaves)
    return state


def step_if(wanted: Any, body: Body, flow: Flow, state: Any) -> tuple[Any, Any]:
    """The new parameters and state of a body if `wanted`, else the old ones."""

    def act(branch: Flow) -> tuple[list, Any]:
        params, new = step(body, branch, state)
        return _trained(flow, flow.treedef.flatten_up_to(params)), state_like(new, state)

    def rest() -> tuple[list, Any]:
        return _trained(flow, flow.param_arrays), state

    arrays, state = _choose(flow, wanted, act, rest, rests=True)
    return flow.treedef.unflatten(_filled(flow, arrays, flow.params or [])), state


def _choose(flow: Flow, wanted: Any, act: Any, rest: Any, *, rests: bool) -> Any:
    """What one of the two returns; the flow then knows whether it was a step, and what was said.

    Args:
        flow: The updates.
        wanted: Whether to act.
        act: Flow of its own -> results.
        rest: () -> results.
        rests: Whether nothing is done to the parameters if not.
    """
    shapes: list = []
    before = set() if flow.meter is None else set(flow.meter.done)

    def acted() -> Any:
        branch = flow.branch(taken=True)
        if flow.reports is not None:  # what is said in the branch has to come out of it
            branch.reports = dict.fromkeys(flow.reports, (0.0, False))
        results = act(branch)
        flow.noise_by = branch.noise_by
        # Almost always it is known to be a step, and nobody listens.
        taken = {} if branch.taken is True else {"taken": jnp.asarray(branch.taken)}
        heard = {
            name: x
            for name, x in (branch.reports or {}).items()
            if name not in (flow.reports or {})
        }
        said = jax.tree.map(_strong, heard)
        shapes[:] = [jax.eval_shape(lambda: (taken, said))]
        return results, taken, said

    def rested() -> Any:
        if not shapes and (flow.reports is not None or is_traced(wanted)):
            jax.eval_shape(acted)
        said = shapes[0] if shapes else ({}, {})
        taken, said = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), said)
        return rest(), taken, said | _params_measured(flow, before, said)

    if is_traced(wanted):
        results, taken, said = lax.cond(wanted, acted, rested)
    else:
        results, taken, said = acted() if wanted else rested()
    if flow.reports is not None:
        flow.reports |= {name: (value, when & wanted) for name, (value, when) in said.items()}
    inner = taken.get("taken", True)
    if rests:
        flow.taken = flow.taken & wanted & inner
    elif inner is not True:
        flow.taken = flow.taken & (jnp.logical_not(wanted) | inner)
    return results


def _params_measured(flow: Flow, before: set[int], said: dict[str, tuple]) -> dict[str, tuple]:
    """What is said of the sizes of parameters that rest: they have them all the same.

    Args:
        flow: The updates.
        before: The leaves that were measured before the branch.
        said: What is said in the branch, by name.
    """
    measured, seen = {}, set()
    for name, (value, when) in said.items():
        what, _, rest = name.partition("|")
        if what != PARAM or flow.meter is None:
            continue
        place = int(rest.split("/")[0].split("#")[0])
        which = [i for i in flow.meter.done - before if flow.meter.places[i] == place]
        if place not in seen:  # the first of several says it for all
            params = [(flow.splits[i], flow.param_arrays[i]) for i in which]
            sizes = [(split, {"sum": jnp.sum(abs2(widened(p)))}) for split, p in params]
            value = total(sizes, (), value.dtype)["sum"].astype(value.dtype)
        seen.add(place)
        measured[name] = value, when
    return measured


def _strong(x: Any) -> jax.Array:
    """A number as an array that says nothing of how it was made, as both branches must return."""
    x = jnp.asarray(x)
    return x.astype(x.dtype)


def _dtype(flow: Flow, index: int, casting: bool) -> Any:
    """The dtype of an update whether the body runs or not."""
    g, p = flow.leaves[index], flow.param_arrays[index]
    if casting:
        return flow.dtypes[index]
    wide = accumulator_dtype(g.dtype, None if p is None else p.dtype)
    return with_precision_of(g.dtype, wide)


def _arrays(flow: Flow, column: list, dtypes: list) -> list[jax.Array]:
    return [x if x.dtype == d else x.astype(d) for x, d in zip(column, dtypes, strict=True) if d]


def _trained(flow: Flow, column: list) -> list[jax.Array]:
    return [as_array(x) for x, on in zip(column, flow.trainable, strict=True) if on]


def _filled(flow: Flow, arrays: list, others: list) -> list:
    rest = iter(arrays)
    return [next(rest) if on else o for o, on in zip(others, flow.trainable, strict=True)]
