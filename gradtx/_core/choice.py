"""Run a body in this step or not: a branch at run time, a Python `if` where the answer is known."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from .body import Body, run, step
from .flow import Flow, Report
from .fuse import total
from .leaves import as_array, is_traced
from .meter import PARAM, SumsByPlace
from .numerics import abs2, accumulator_dtype, widened, with_precision_of
from .state import state_like


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
    listened = flow.reports is not None or flow.meter is not None
    heard: list[_Heard] = []

    def acted() -> tuple[Any, _Told]:
        branch = flow.branch(taken=True)
        if flow.reports is not None:
            branch.reports = []
        if flow.meter is not None:
            branch.meter = flow.meter.anew()
        results = act(branch)
        flow.noise_by = branch.noise_by
        told = _told_by(branch)
        heard[:] = [_heard_of(branch, told)]
        return results, told

    def rested() -> tuple[Any, _Told]:
        if not heard and (listened or is_traced(wanted)):
            jax.eval_shape(acted)
        return rest(), _of_rest(flow, heard[0]) if heard else _Told(None, (), {})

    if is_traced(wanted):
        results, told = lax.cond(wanted, acted, rested)
    else:
        results, told = acted() if wanted else rested()
    if flow.reports is not None:
        said = zip(heard[0].names, told.said, strict=True)
        flow.reports += [Report(*name, value, when & wanted) for name, (value, when) in said]
    if flow.meter is not None:
        flow.meter.add(told.sums, heard[0].measured)
    if rests:
        flow.taken = flow.taken & wanted & (True if told.taken is None else told.taken)
    elif told.taken is not None:
        flow.taken = flow.taken & (jnp.logical_not(wanted) | told.taken)
    return results


class _Told(NamedTuple):
    """Numbers that have to come out of a branch, as both branches return them.

    Attributes:
        taken: Whether it was a step; None if that is known, as it almost always is.
        said: For each report its value, and whether it is one of this step.
        sums: What a meter measured.
    """

    taken: jax.Array | None
    said: tuple[tuple[jax.Array, jax.Array], ...]
    sums: dict[str, SumsByPlace]


class _Heard(NamedTuple):
    """What is known of a branch that acts once it was traced.

    Attributes:
        names: For each report its name and group.
        measured: The leaves that a meter measured.
        shapes: Of the numbers that come out of it.
    """

    names: list[tuple[str, tuple[str, ...]]]
    measured: list[int]
    shapes: _Told


def _told_by(branch: Flow) -> _Told:
    taken = None if branch.taken is True else jnp.asarray(branch.taken)
    said = tuple((_strong(x.value), _strong(x.when)) for x in branch.reports or ())
    sums = {} if branch.meter is None else jax.tree.map(_strong, branch.meter.sums)
    return _Told(taken, said, sums)


def _heard_of(branch: Flow, told: _Told) -> _Heard:
    names = [(x.name, x.group) for x in branch.reports or ()]
    measured = [] if branch.meter is None else sorted(branch.meter.done)
    return _Heard(names, measured, jax.eval_shape(lambda: told))


def _of_rest(flow: Flow, heard: _Heard) -> _Told:
    """What the branch that rests tells: nothing, but parameters have their sizes all the same."""
    told = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), heard.shapes)
    if flow.meter is not None and PARAM in told.sums:
        for place, terms in told.sums[PARAM].items():  # the first of them says it for all
            which = [i for i in heard.measured if flow.meter.places[i] == place]
            params = [(flow.splits[i], flow.param_arrays[i]) for i in which]
            sizes = [(split, {"sum": jnp.sum(abs2(widened(p)))}) for split, p in params]
            dtype = terms[0].dtype
            terms[0] = total(sizes, (), dtype)["sum"].astype(dtype)
    return told


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
