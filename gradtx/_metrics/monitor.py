"""Measure the updates on their way through a chain, and keep what was measured in the state."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from .._core.body import Body, Inside, run, start
from .._core.flow import Flow
from .._core.foreign import Foreign
from .._core.leaves import is_abstract, is_inexact
from .._core.numerics import accumulator_dtype
from .._core.state import EmptyState
from .._core.transformation import (
    GradientTransformation,
    as_transformation,
    from_body,
    transformation,
)
from .._core.wrap import Wrapper, as_abstract_as, check_state
from .._moments.average import ema
from ..typing import Decay, DType, InnerState


class SnapshotState(NamedTuple):
    """{name: measurement}."""

    measurement: InnerState


class MonitorState(NamedTuple):
    """{name: measurement}, and the states of what measures."""

    measurements: InnerState
    measure_states: InnerState


def _measured(flow: Flow, measure: Callable) -> Any:
    """What a function says of the updates, in arrays of its own; None stands for other leaves."""
    tree = _trained(flow)
    if flow.is_abstract:
        return jax.eval_shape(lambda t: jax.tree.map(_own, measure(t)), tree)
    return jax.tree.map(_own, measure(tree))


def _trained(flow: Flow) -> Any:
    """The updates in the dtypes in which the gradients came, None in the place of other leaves."""
    updates = flow.treedef.flatten_up_to(flow.as_given())
    pairs = zip(updates, flow.trainable, strict=True)
    return flow.treedef.unflatten([g if on else None for g, on in pairs])


def _own(x: Any) -> jax.Array:
    """x as an array of a definite dtype, in a buffer that is no other's."""
    return jnp.array(x, dtype=jnp.result_type(x), copy=True)


def _as_before(owner: str, name: str, new: Any, old: Any) -> Any:
    """A measurement in the dtypes of the one before, or an error if it is another tree."""
    if jax.tree.map(jnp.shape, new) != jax.tree.map(jnp.shape, old):
        raise ValueError(
            f"{owner}: the measurement {name!r} must keep its structure and shapes, "
            f"{jax.tree.map(jnp.shape, old)}, but became {jax.tree.map(jnp.shape, new)}."
        )
    return jax.tree.map(lambda n, o: n.astype(o.dtype), new, old)


@dataclasses.dataclass(eq=False)
class _Snapshot(Body):
    """A measurement.

    Attributes:
        name: The constructor's name.
        measure_name: Under which it is kept.
        measure: updates -> tree of numbers.
    """

    name: str
    measure_name: str
    measure: Callable
    passes = True

    def init(self, flow: Flow) -> Any:
        return SnapshotState({self.measure_name: _measured(flow, self.measure)})

    def update(self, flow: Flow, state: Any) -> Any:
        old = check_state(self.name, SnapshotState, state).measurement[self.measure_name]
        new = _measured(flow, self.measure)
        return SnapshotState(
            {self.measure_name: _as_before(self.name, self.measure_name, new, old)}
        )


@dataclasses.dataclass(eq=False)
class _Monitor(Wrapper):
    """Several measurements.

    Attributes:
        name: The constructor's name.
        measures: {name: function of the updates, or transformation whose updates are kept}.
    """

    measures: dict[str, Any]
    heard: ClassVar[tuple[str, ...]] = ()  # they measure, and move nothing
    passes = True

    @property
    def children(self) -> tuple[Any, ...]:
        return tuple(m for m in self.measures.values() if not _is_function(m))

    def with_children(self, children: tuple[Any, ...]) -> Body:
        rest = iter(children)
        return dataclasses.replace(
            self,
            measures={k: m if _is_function(m) else next(rest) for k, m in self.measures.items()},
        )

    def parts(self) -> Iterator[tuple[str, Any]]:
        return iter([(k, m) for k, m in self.measures.items() if not _is_function(m)])

    def inner_states(self, state: Any) -> list[Inside]:
        given = zip(self.measures.items(), state.measure_states, strict=True)
        return [Inside(name, m.update.body, s) for (name, m), s in given if not _is_function(m)]

    def with_inner_states(self, state: Any, states: list) -> Any:
        rest = iter(states)
        given = zip(self.measures.values(), state.measure_states, strict=True)
        held = tuple(s if _is_function(m) else next(rest) for m, s in given)
        return state._replace(measure_states=held)

    def init(self, flow: Flow) -> Any:
        states = tuple(
            EmptyState() if _is_function(m) else start(m.update.body, flow.branch())
            for m in self.measures.values()
        )
        measurements = {}
        for (name, measure), state in zip(self.measures.items(), states, strict=True):
            first = _first(flow, measure, state)
            if first is not None:
                measurements[name] = as_abstract_as(flow, jax.tree.map(jnp.zeros_like, first))
        return MonitorState(measurements, states)

    def update(self, flow: Flow, state: Any) -> Any:
        old, states = check_state(self.name, MonitorState, state)
        measurements, new_states = {}, []
        for (name, measure), before in zip(self.measures.items(), states, strict=True):
            value, new = _measure(flow, measure, before)
            kept = _as_before(self.name, name, value, old[name]) if name in old else value
            measurements[name] = kept
            new_states.append(new)
        return MonitorState(measurements, tuple(new_states))


def _is_function(measure: Any) -> bool:
    return not isinstance(measure, tuple)


def _measure(flow: Flow, measure: Any, state: Any) -> tuple[Any, Any]:
    """A measurement, and the new state of what made it."""
    if _is_function(measure):
        return _measured(flow, measure), EmptyState()
    body, branch = measure.update.body, flow.branch()
    if isinstance(body, Foreign):  # may return what it likes, as nothing comes after it
        value, state = body.call(_trained(flow), state, flow.params_tree, flow.extra)
    else:
        state = run(body, branch, state, outermost=True)
        value = _trained(branch)
    return jax.tree.map(_own, value), state


def _first(flow: Flow, measure: Any, state: Any) -> Any:
    """A measurement of the parameters, or None if it takes extra arguments to make one."""

    def measured(arrays: list, state: Any) -> Any:
        branch = flow.branch()
        for i, array in zip(places, arrays, strict=True):
            branch.leaves[i] = array
        return _measure(branch, measure, state)[0]

    places = [i for i, on in enumerate(flow.trainable) if on]
    arrays = [flow.leaves[i] for i in places]
    try:
        if any(is_abstract(x) for x in arrays):
            return jax.eval_shape(measured, arrays, state)
        return measured(arrays, state)
    except TypeError:
        if _is_function(measure):
            raise
        return None


@transformation
def snapshot(measure_name: str, measure: Callable) -> GradientTransformation:
    """Keep a measurement of the updates in the state, and pass them on unchanged.

    At each step state.measurement[measure_name] = measure(updates). Where it stands in a chain
    decides what it sees: `chain(adam(1e-3), snapshot("step", tree.norm))` measures the step,
    the other order the gradient. `tree.get(state, measure_name)` finds it.

    Shapes: whatever `measure` returns, the same at each step.
    Units: those of the measurement.

    Args:
        measure_name: Name under which it is kept.
        measure: Function of the updates, a tree in the dtypes of the gradients with None for what
            nothing trains, that returns a number or a tree of arrays. It must be pure.

    Returns:
        The transformation, with a `SnapshotState`. After init it has the measurement of the
        parameters, as a stand-in of the same shape.

    Raises:
        TypeError: If `measure_name` is no string, or `measure` no function.
        ValueError: On update, if the measurement changes its structure or shapes.
    """
    _check_name("snapshot", measure_name)
    _check_measure("snapshot: `measure`", measure)
    return from_body(_Snapshot("snapshot", measure_name, measure))


@transformation
def monitor(measures: Mapping[str, Any]) -> GradientTransformation:
    """Keep measurements of the updates in the state, and pass them on unchanged.

    At each step state.measurements[name] = measure(updates) for each. One that remembers, such as
    an average (`measure_with_ema`), is a transformation whose updates are the measurement.
    `tree.get(state, name)` finds one of them.

    Shapes: whatever is measured, the same at each step.
    Units: those of the measurements.

    Args:
        measures: {name: measure}: a pure function of the updates, a tree in the dtypes of the
            gradients with None for what nothing trains, that returns a number or a tree of
            arrays; or a transformation. That gets the extra arguments.

    Returns:
        The transformation, with a `MonitorState`. Before the first step all measurements are 0.
        That of a transformation which cannot do without extra arguments is there from then on.

    Raises:
        TypeError: If `measures` is no mapping from strings, or a measure neither a function nor a
            transformation.
        ValueError: On update, if a measurement changes its structure or shapes.

    Differs: from Optax, where measurements are missing before the first step, so that the state
        changes its structure and cannot be carried through `lax.scan`.
    """
    if not isinstance(measures, Mapping):
        raise TypeError(f"monitor: `measures` must be a mapping from names, but is {measures!r}.")
    made = {}
    for name, measure in measures.items():
        _check_name("monitor", name)
        if isinstance(measure, tuple):
            made[name] = as_transformation(measure, "monitor")
        else:
            _check_measure(f"monitor: the measure {name!r}", measure, "or a transformation, ")
            made[name] = measure
    return from_body(_Monitor("monitor", made))


def _check_name(owner: str, name: Any) -> None:
    if not isinstance(name, str):
        raise TypeError(f"{owner}: the name of a measurement must be a string, but is {name!r}.")


def _check_measure(label: str, measure: Any, also: str = "") -> None:
    if isinstance(measure, (tuple, type)) or not callable(measure):
        raise TypeError(
            f"{label} must be a function of the updates, {also}but is {measure!r}. Was it called "
            "already?"
        )


@dataclasses.dataclass(eq=False)
class _MeasureWithEma(Wrapper):
    """An average of measurements.

    Attributes:
        name: The constructor's name.
        inner: What averages.
        measure: updates -> tree of numbers.
    """

    inner: Any
    measure: Callable

    def inner_states(self, state: Any) -> list[Inside]:
        return [Inside("", self.inner.update.body, state[1])]

    def with_inner_states(self, state: Any, states: list) -> Any:
        return (state[0], states[0])

    def init(self, flow: Flow) -> Any:
        inner = Flow(self.name, _first(flow, self._numbers, EmptyState()), None, {})
        return (EmptyState(), start(self.inner.update.body, inner))

    def update(self, flow: Flow, state: Any) -> Any:
        inner = Flow(self.name, _measured(flow, self._numbers), None, flow.extra)
        state = run(self.inner.update.body, inner, state[1], outermost=flow.casting)
        # From here on the measurement is what flows.
        kept = {name: getattr(flow, name) for name in ("owner", "params_tree", "casting")}
        flow.__dict__.update(inner.__dict__ | kept)
        return (EmptyState(), state)

    def _numbers(self, updates: Any) -> Any:
        return jax.tree.map(_as_real_number, self.measure(updates))


def _as_real_number(x: Any) -> Any:
    x = jnp.asarray(x)
    return x if is_inexact(x) else x.astype(accumulator_dtype())


@transformation
def measure_with_ema(
    measure: Callable,
    decay: Decay,
    debias: bool = True,
    accumulator_dtype: DType | None = None,
) -> GradientTransformation:
    """Average a measurement of the updates over time, for `monitor`.

    With m = measure(updates) at step t = 1, 2, ..., and v = 0 before:

        v = decay v + (1 - decay) m
        u = v / (1 - decay^t)        or v itself without `debias`

    Its updates are the measurement: in a chain nothing but the average comes out of it.

    Shapes: those of the measurement.
    Units: those of the measurement; of a condition it is the share of steps in which it held.

    Args:
        measure: Function of the updates that returns a number or a tree of arrays; True and False
            count as 1 and 0.
        decay: Weight of the past, in [0, 1).
        debias: Whether to correct for the start at zero.
        accumulator_dtype: Dtype in which v is stored; None for float32 or wider.

    Returns:
        The transformation. Its state is that of a chain, of nothing and an `EmaState`.

    Raises:
        TypeError: If `measure` is no function.
        ValueError: If `decay` is outside [0, 1).
    """
    _check_measure("measure_with_ema: `measure`", measure)
    average = ema(decay, debias, accumulator_dtype)
    return from_body(_MeasureWithEma("measure_with_ema", average, measure))
