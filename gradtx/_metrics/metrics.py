"""Numbers out of a step: learning rate, norms, what was clipped and skipped, in one flat dict."""

import dataclasses
import difflib
import itertools
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from .._core.body import Body, run, start, step
from .._core.flow import Flow
from .._core.leaves import as_array, with_article
from .._core.transformation import (
    GradientTransformation,
    as_transformation,
    from_body,
    transformation,
)
from .._core.wrap import Wrapper, as_abstract_as, check_state
from ..typing import InnerState, Scalars
from .readings import (
    MEASURED,
    OF_ALL,
    Reading,
    by_key,
    change_square_sum,
    places_of,
    said_by,
    square_sum_apart,
)


class MetricsState(NamedTuple):
    """The numbers of the last step by name, and the state of the transformation."""

    values: Scalars
    inner_state: InnerState


@dataclasses.dataclass(eq=False)
class _WithMetrics(Wrapper):
    """A transformation whose steps are measured.

    Attributes:
        name: The constructor's name.
        inner: The transformation.
        names: What is asked for.
        per_group: Whether numbers of single groups are, too.
    """

    inner: Any
    names: tuple[str, ...]
    per_group: bool
    moves_as_inside: ClassVar[bool] = True
    passes_as_inside: ClassVar[bool] = True

    def init(self, flow: Flow) -> Any:
        keys = self._keys(flow)
        listening = flow.branch(reports=[])
        inner = start(self.inner.update.body, listening)
        said = by_key(listening.reports or [])
        first = {key: said[key].value if key in said else 0.0 for key in keys}
        values = {key: as_abstract_as(flow, jnp.array(x, jnp.float32)) for key, x in first.items()}
        return MetricsState(values, inner)

    def update(self, flow: Flow, state: Any) -> Any:
        state = check_state(self.name, MetricsState, state)
        reading = Reading(self, flow)
        casting, body = flow.casting, self.inner.update.body
        inner = run(body, flow, state.inner_state, outermost=casting)
        said = reading.finish(flow, _of_updates(flow))
        return MetricsState(reading.values(flow, state.values, said), inner)

    def step(self, flow: Flow, state: Any) -> tuple[Any, Any]:
        state = check_state(self.name, MetricsState, state)
        reading = Reading(self, flow)
        body = self.inner.update.body
        params, inner = step(body, flow, state.inner_state)
        new, old = flow.treedef.flatten_up_to(params), flow.param_arrays
        change = _of_updates(flow)
        if (
            body.plan.stages
            and getattr(type(body.plan.stages[-1]), "step", Body.step) is not Body.step
        ):
            # It need not have made updates at all.
            change = lambda i: change_square_sum(as_array(new[i]), old[i])  # noqa: E731
        said = reading.finish(flow, change)
        return params, MetricsState(reading.values(flow, state.values, said), inner)

    def _keys(self, flow: Flow) -> list[str]:
        """The names of all numbers in the state."""
        body, groups = self.inner.update.body, []
        if self.per_group:
            groups = places_of(body, flow).names[1:]
            if not groups and any(flow.trainable):
                raise ValueError(
                    f"{self.name}: `per_group` needs groups, but nothing in the transformation "
                    "divides the parameters. Use groups or partition inside, or per_group=False."
                )
        said, keys = said_by(body, flow), []
        for name in self.names:
            if name in MEASURED:
                keys.append(name)
                keys += [f"{name}/{group}" for group in groups if name not in OF_ALL]
            else:  # also by "#2" and by group
                keys += [key for key, base in said.items() if name in (key, base)]
        return sorted(set(keys))  # as JAX sorts them, too


def _of_updates(flow: Flow) -> Callable[[int], jax.Array]:
    """Position of a leaf -> the sum of squares of its update, as it is given."""
    column = flow.treedef.flatten_up_to(flow.as_given())
    return lambda i: square_sum_apart(column[i])


@transformation
def with_metrics(inner: Any, /, *names: str, per_group: bool = False) -> GradientTransformation:
    """Keep numbers of each step in the state, from where `metrics` takes them.

    The updates are those of tx. What can be asked for, with g the gradient as it came, p the
    parameters before the step, u the update as it is applied, and norms over all arrays:

        grad_norm          sqrt(sum |g|^2)
        update_norm        sqrt(sum |u|^2)
        param_norm         sqrt(sum |p|^2)
        update_ratio       update_norm / param_norm, 0 where that is 0
        nonfinite_leaves   number of arrays of g with an inf or a nan in them
        skipped_steps      number of calls so far that left the parameters where they were

    and what the parts of inner say of themselves: "learning_rate" (`scale_by_learning_rate`, and so
    every named optimizer with a rate), "step_size" (schedules, line searches, rules that find their
    own), "plateau_scale" (`reduce_on_plateau`), "clip_scale" (`clip_by_global_norm`), what guards
    count, and others. "learning_rate" is the number that is multiplied there: what
    `reduce_on_plateau`, `scale_by_path` or a trust ratio multiply besides is not in it. If several
    parts say one name, the first keeps it and the others get "#2", "#3", ... in the order of the
    chain; one that is said inside a group has the group's name behind it: "learning_rate/decoder".
    To ask for a name asks for all of these; "learning_rate#2" asks for that one alone.

    Nothing else is computed or kept. In a step that does not move the parameters (skipped by a
    guard, or a micro-step of an accumulation) numbers of the step keep their last value; grad_norm,
    nonfinite_leaves and what is said outside of what was skipped are of each call. Around an
    accumulation skipped_steps counts micro-steps, too: put `with_metrics` inside to have numbers of
    the accumulated gradient and of whole steps only. Derivatives do not go through the numbers.

    Shapes: any. Each number is a scalar in float32. All are 0 before the first step.
    Units: grad_norm is in units of the gradient, update_norm and param_norm in those of the
        parameters.

    Args:
        inner: The transformation.
        *names: What to keep; without any, what inner says of "learning_rate", "plateau_scale" and
            "clip_scale", and grad_norm and update_norm.
        per_group: Whether norms and nonfinite_leaves are kept for each group of `groups` or
            `partition` in inner as well, as "grad_norm/<group>".

    Returns:
        The transformation, with a `MetricsState`: `values` by name, and `inner_state`.

    Raises:
        TypeError: If `inner` is no transformation, or a name no string.
        ValueError: If a name is unknown, or nothing in inner says it; on init, if `per_group` is
            asked for without groups, or two of them have one name; on update, if param_norm or
            update_ratio are asked for without parameters.

    Example:
        >>> import jax.numpy as jnp, gradtx as gx
        >>> tx = gx.with_metrics(gx.sgd(0.1), "learning_rate", "update_norm")
        >>> w = jnp.array([3.0, 4.0])
        >>> w, state = tx.step(w, tx.init(w), w)
        >>> {name: round(float(x), 3) for name, x in gx.metrics(state).items()}
        {'learning_rate': 0.1, 'update_norm': 0.5}
    """
    made = as_transformation(inner, "with_metrics")
    said = said_by(made.update.body, None)
    if not names:
        rates = [name for name in _BY_DEFAULT if name in said]
        names = (*rates, "grad_norm", "update_norm")
    for name in names:
        _check_name(name, said)
    return from_body(_WithMetrics("with_metrics", made, tuple(dict.fromkeys(names)), per_group))


_BY_DEFAULT = ("learning_rate", "plateau_scale", "clip_scale")


def _check_name(name: Any, said: dict[str, str]) -> None:
    if not isinstance(name, str):
        raise TypeError(f"with_metrics: a name must be a string, but is {name!r}.")
    there = [*MEASURED, *said]
    base, _, group = name.partition("/")
    if name in there or (group and base in said.values()):
        return  # which groups there are is known on init
    close = difflib.get_close_matches(name, there, n=1, cutoff=0.5)
    hint = f" Is {close[0]!r} meant?" if close else ""
    raise ValueError(
        f"with_metrics: nothing here says {name!r}. What can be asked for is {', '.join(there)}."
        f"{hint}"
    )


def metrics(state: Any) -> dict[str, jax.Array]:
    """The numbers that `with_metrics` keeps, ready for a logger.

    Args:
        state: The state of a transformation with `with_metrics` anywhere in it, or anything that
            holds one, such as a training state. It may be traced.

    Returns:
        {name: scalar in float32}; under `vmap` one for each. If several `with_metrics` keep one
        name, the first has it, and the others get "#2", "#3", ... in the order of the state.

    Raises:
        ValueError: If there is none in it.
    """
    found = [x for x in jax.tree.leaves(state, is_leaf=_is_ours) if _is_ours(x)]
    if not found:
        raise ValueError(
            "metrics: the state must have a MetricsState in it, but is "
            f"{with_article(type(state).__name__)} without one. Wrap the transformation in "
            "with_metrics(tx) before init."
        )
    numbers: dict[str, jax.Array] = {}
    for ours in found:
        _collect(ours, numbers)
    return numbers


def _collect(state: MetricsState, numbers: dict[str, jax.Array]) -> None:
    for name, value in state.values.items():
        (x,) = jax.tree.leaves(value)  # containers of Flax have their arrays in variables
        later = (f"{name.split('#')[0]}#{i}" for i in itertools.count(2))
        keys = itertools.chain((name,), later)
        numbers[next(key for key in keys if key not in numbers)] = x
    for inside in jax.tree.leaves(state.inner_state, is_leaf=_is_ours):
        if _is_ours(inside):
            _collect(inside, numbers)


def _is_ours(node: Any) -> bool:
    return isinstance(node, MetricsState)
