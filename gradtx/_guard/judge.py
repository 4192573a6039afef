"""What guards share: which gradients are finite, when to act, and how a run is stopped."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from .._core.arguments import as_flag, concrete_number
from .._core.body import Body
from .._core.choice import step_if, update_if
from .._core.composite import Sequence
from .._core.flow import Flow
from .._core.fuse import cleared_with_caches
from .._core.leaves import is_traced, path_names
from .._core.numerics import residue
from .._core.reduce import axes_of, over_shards
from .._core.state import EmptyState
from .._core.transformation import from_body
from .._core.wrap import Wrapper

# How many of the leaves that are not finite a state remembers, and a message names.
NAMED = 4
_NO_LEAF = -1


class Verdict(NamedTuple):
    """What a guard says of a step.

    Attributes:
        accepted: Whether to take it: True, or a boolean scalar.
        state: The guard's state, with the state inside as it was.
        change: A body without a state that changes the gradients before the step, or None.
    """

    accepted: Any
    state: Any
    change: Body | None = None


@dataclasses.dataclass(eq=False)
class Guarding(Wrapper):
    """A transformation that sits out the steps that are not to be taken."""

    inner: Any
    moves_as_inside: ClassVar[bool] = True

    def judged(self, flow: Flow, state: Any) -> Verdict:
        """Say what to do with a step."""
        raise NotImplementedError

    def update(self, flow: Flow, state: Any) -> Any:
        def act(accepted: Any, body: Body, inner: Any) -> tuple[None, Any]:
            return None, update_if(accepted, body, flow, inner, otherwise="zero")

        return self._run(flow, state, act)[1]

    def step(self, flow: Flow, state: Any) -> tuple[Any, Any]:
        return self._run(
            flow,
            state,
            lambda accepted, body, inner: step_if(accepted, body, flow, inner),
        )

    def _run(self, flow: Flow, state: Any, act: Callable[..., Any]) -> tuple[Any, Any]:
        accepted, new, change = self.judged(flow, state)
        given, changes = flow.extra, [change] if change else []
        if accepted is not True and _may_flush(self.inner.update.body, given):
            changes.append(_WithNothing(self.name, accepted))
            flow.extra = given | {"weight": _weight_if(accepted, given.get("weight", 1.0))}
            goes_on = jnp.logical_not(getattr(new, "stopped", False))
            accepted = accepted | (jnp.asarray(given["flush"]) & goes_on)
        body, inner = self.inner.update.body, new.inner_state
        if not changes:
            result, inner = act(accepted, body, inner)
        else:
            # In the branch that takes the step XLA changes the gradients on its way through it;
            # outside it would first store them.
            body = Sequence(self.name, (*map(from_body, changes), self.inner))
            states = (*(EmptyState() for _ in changes), inner)
            result, (*_, inner) = act(accepted, body, states)
        flow.extra = given
        return result, new._replace(inner_state=inner)


def _may_flush(inner: Body, extra: dict[str, Any]) -> bool:
    """Whether an accumulation inside is told that its group may end with this gradient."""
    flush = as_flag(extra.get("flush", False))
    return flush is not False and {"flush", "weight"} <= inner.extras[1]


def _weight_if(accepted: Any, weight: Any) -> Any:
    """The weight of a gradient, 0 if it is skipped; one that is no weight is left to be refused."""
    number = concrete_number(weight)
    is_weight = is_traced(weight) if number is None else 0 <= number < np.inf
    return jnp.where(accepted, weight, jnp.zeros_like(weight)) if is_weight else weight


@dataclasses.dataclass(eq=False)
class _WithNothing(Body):
    """Sets all gradients to zero where a step is skipped that an accumulation inside has to know.

    Attributes:
        name: The constructor's name.
        accepted: Whether the step is taken: a boolean scalar.
    """

    name: str
    accepted: Any
    any_shape: ClassVar[bool] = True

    def update(self, flow: Flow, state: Any) -> Any:
        if is_traced(self.accepted) or not self.accepted:
            for index in places(flow):
                g = flow.leaves[index]
                flow.leaves[index] = jnp.where(self.accepted, g, jnp.zeros_like(g))
        return state


def measured(flow: Flow, measure: Any) -> jax.Array:
    """A number of each array of the updates that is a sum over its entries, as one vector.

    Args:
        flow: The updates.
        measure: array -> real scalar.
    """
    columns = zip(flow.leaves, flow.splits, flow.trainable, strict=True)
    arrays = [(g, axes_of(split)) for g, split, on in columns if on]
    if not arrays:
        return jnp.zeros([0], jnp.float32)
    numbers = [measure(g) for g, _ in arrays]
    kinds = sorted({axes for _, axes in arrays})
    vectors = []
    for kind in kinds:  # inside a shard_map one sum over devices for all arrays split alike
        of_kind = [x for x, (_, axes) in zip(numbers, arrays, strict=True) if axes == kind]
        vectors.append(over_shards(_in_one_vector(of_kind), kind))
    if len(kinds) == 1:
        return vectors[0]
    place = np.argsort([i for kind in kinds for i, (_, a) in enumerate(arrays) if a == kind])
    return jnp.concatenate(vectors)[place]


@jax.jit
def _in_one_vector(numbers: list) -> jax.Array:
    return jnp.stack([x.astype(jnp.float32) for x in numbers])


def not_finite(flow: Flow) -> jax.Array:
    """For each array of the updates whether an entry is inf or nan, as one vector."""
    return measured(flow, residue) != 0


def places(flow: Flow) -> tuple[int, ...]:
    """Which of the leaves those are."""
    return tuple(index for index, on in enumerate(flow.trainable) if on)


def first_leaves(bad: jax.Array, which: tuple[int, ...]) -> jax.Array:
    """The first few of the leaves that are not finite, filled up with -1.

    Args:
        bad: What `not_finite` returned.
        which: What `places` returned.
    """
    last = np.iinfo(np.int32).max
    marked = jnp.where(bad, jnp.asarray(which, jnp.int32), last)
    first = jnp.sort(jnp.concatenate([marked, jnp.full(NAMED, last, jnp.int32)]))[:NAMED]
    return jnp.where(first == last, _NO_LEAF, first)


def no_leaves() -> jax.Array:
    """What `first_leaves` returns of finite updates."""
    return jnp.full(NAMED, _NO_LEAF, jnp.int32)


@jax.jit
def unless_stopped(old: Any, new: Any) -> Any:
    """The new state, or the old one if that is of a run that was stopped."""
    return jax.tree.map(lambda n, o: jnp.where(old.stopped, o, n), new, old)


def stop_if_told(owner: str, flow: Flow, state: Any, callback: bool) -> None:
    """Raise if the state says so: at once, or under jit from a callback.

    Args:
        owner: Name of the guard.
        flow: The updates, for their paths.
        state: The state of a guard after the step, without the state inside.
        callback: Whether there shall be one.
    """
    said = _said(state)
    if not is_traced(state.stopped):
        if state.stopped:
            raise FloatingPointError(_message(owner, said, path_names(flow.tree)))
    elif callback:
        # The flag goes along: under vmap both branches run.
        host = functools.partial(_raise_on_host, owner, tuple(path_names(flow.tree)))
        lax.cond(state.stopped, lambda: jax.debug.callback(host, said), lambda: None)


def check_guards(state: Any, params: Any = None) -> None:
    """Raise a FloatingPointError if a guard has stopped the run.

    For those who want no callbacks in their program (`callback=False`): call it on the host now and
    then, as when metrics are written. It waits for the state to be computed.

    Args:
        state: State of a transformation with `guard` or `loss_scaling` anywhere in it.
        params: The parameters, so that the message can name the leaves; None to number them.

    Raises:
        FloatingPointError: If the state of a guard in it says `stopped`.
        TypeError: If there is no guard in it, or it is traced.
    """
    guards = list(_guards(state))
    if not guards:
        raise TypeError(
            "check_guards: there is no state of `guard` or `loss_scaling` in it. Was the state of "
            "another optimizer given?"
        )
    paths = None if params is None else path_names(params)
    for found in guards:
        if is_traced(found.stopped):
            raise TypeError(
                "check_guards: the state is traced. Call it outside of jit, on what the compiled "
                "function returned; inside, guards raise by a callback."
            )
        _raise_on_host(found.OWNER, paths, _said(found))


def _guards(tree: Any) -> Any:
    """The states of guards in a state, outermost first."""
    for leaf in jax.tree.leaves(tree, is_leaf=_is_guard):
        if _is_guard(leaf):
            yield leaf
            yield from _guards(leaf.inner_state)


def _is_guard(node: Any) -> bool:
    return hasattr(type(node), "OWNER") and hasattr(node, "stopped")


def _said(state: Any) -> dict[str, Any]:
    names = ("stopped", "count", "streak", "nonfinite", "spikes", "bad_leaves")
    return {name: getattr(state, name) for name in names if hasattr(state, name)}


def _raise_on_host(owner: str, paths: Any, said: dict) -> None:
    said = {name: np.asarray(x) for name, x in said.items()}
    stopped = said["stopped"]
    if not stopped.any():
        return
    if stopped.ndim:  # of several runs under vmap the first that stopped
        said = {name: x[stopped][0] for name, x in said.items()}
    raise FloatingPointError(_message(owner, said, paths))


def _message(owner: str, said: dict, paths: Any) -> str:
    found = [int(i) for i in np.asarray(said["bad_leaves"]) if i != _NO_LEAF]
    names = [f"leaf {i}" if paths is None or i >= len(paths) else paths[i] for i in found]
    more = " and perhaps others" if len(names) == NAMED else ""
    what = "the loss or the norm of the gradients was a spike"
    if names:
        what = f"the gradients at {', '.join(names)}{more} are not finite"
    counts = f"{said['nonfinite']} had gradients that are not finite"
    if "spikes" in said:
        counts += f" and {said['spikes']} were spikes"
    return (
        f"{owner}: stopped at step {int(said['count']) - 1} (0 first), the last of "
        f"{said['streak']} bad ones in a row: {what}. Of {said['count']} steps {counts}. Likely "
        "causes: too high a learning rate, 0/0 or log(0) in the loss, broken data, or float16 "
        "without loss_scaling."
    )


for _compiled in (_in_one_vector, unless_stopped):
    cleared_with_caches(_compiled.clear_cache)  # pyright: ignore[reportAttributeAccessIssue]
