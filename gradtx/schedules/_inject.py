"""Hyperparameters in the state, where they can be read, set and scheduled."""

import contextlib
import dataclasses
import functools
import inspect
import numbers
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .._core.arguments import bind, is_flag, is_function, is_numeric
from .._core.body import Body, start
from .._core.constructor import described
from .._core.describe import Description
from .._core.flow import Flow
from .._core.leaves import describe_leaf
from .._core.numerics import accumulator_dtype, safe_increment
from .._core.remade import Numbers, Remade, exact_if_still, is_in_trace
from .._core.transformation import (
    GradientTransformation,
    as_transformation,
    from_body,
    with_description,
)
from .._core.wrap import as_abstract_as, check_state, first_count
from ..typing import Clock, DType, InnerState, Scalars
from ._stateful import StatefulSchedule, WrappedSchedule


class InjectStatefulHyperparamsState(NamedTuple):
    """Step count, the hyperparameters by name, where their schedules stand, inner's state."""

    count: Clock
    hyperparams: Scalars
    hyperparams_states: Scalars
    inner_state: InnerState


@dataclasses.dataclass(eq=False)
class _Injected(Remade):
    """A transformation that is made anew at each step, of numbers in the state.

    Attributes:
        name: The constructor's name.
        factory: What makes the transformation.
        bound: Its arguments, those in the state too.
        numbers: The numeric ones that may be set.
        schedules: The numeric ones that follow a schedule.
        dtype: Dtype of the numbers, or None.
    """

    factory: Callable[..., Any]
    bound: inspect.BoundArguments
    numbers: dict[str, Any]
    schedules: dict[str, StatefulSchedule]
    dtype: Any

    @property
    def children(self) -> tuple[Any, ...]:
        made = self.__dict__.get("_children")
        if made is None:
            first = {name: f(f.init()) for name, f in self.schedules.items()}
            made = (self.changed(self._made(self.numbers | first)),)
            if not is_in_trace():
                self.__dict__["_children"] = made
        return made

    @property
    def takes_any(self) -> bool:
        return any(not isinstance(f, WrappedSchedule) for f in self.schedules.values())

    def init(self, flow: Flow) -> Any:
        states = {name: f.init() for name, f in self.schedules.items()}
        given = self.numbers | {name: f(states[name]) for name, f in self.schedules.items()}
        values = {name: self._number(flow, name, x) for name, x in given.items()}
        self._made(given)  # raises where a number is out of range: those in the state are rounded
        with self._remade_of(values, given) as inner:
            return InjectStatefulHyperparamsState(
                count=first_count(flow),
                hyperparams=as_abstract_as(flow, values),
                hyperparams_states=as_abstract_as(flow, states),
                inner_state=start(inner.update.body, flow),
            )

    def at_step(self, flow: Flow, state: Any, act: Callable[[Body, Any], Any]) -> Any:
        state = self._checked(state)
        states = state.hyperparams_states
        now = {name: f(states[name], **flow.extra) for name, f in self.schedules.items()}
        values = {
            name: self._number(flow, name, x) for name, x in (state.hyperparams | now).items()
        }
        with self._remade_of(values, now, list(values.values())) as inner:
            result, inner_state = act(inner.update.body, state.inner_state)
        return result, InjectStatefulHyperparamsState(
            count=safe_increment(state.count),
            hyperparams=values,
            hyperparams_states={
                name: f.update(states[name], **flow.extra) for name, f in self.schedules.items()
            },
            inner_state=inner_state,
        )

    def made_of(self, state: Any) -> contextlib.AbstractContextManager[Any]:
        return self._remade_of(self._checked(state).hyperparams, {})

    def _checked(self, state: Any) -> InjectStatefulHyperparamsState:
        state = check_state(self.name, InjectStatefulHyperparamsState, state)
        known = {*self.numbers, *self.schedules}
        if set(state.hyperparams) != known:
            raise ValueError(
                f"{self.name}: the hyperparameters in its state must be {sorted(known)}, but are "
                f"{sorted(state.hyperparams)}. Was one set under another name?"
            )
        return state

    def _remade_of(
        self, values: Scalars, now: dict[str, Any], known: list[Any] | None = None
    ) -> contextlib.AbstractContextManager[Any]:
        """The transformation of some numbers, with what the schedules gave for some of them."""

        def read() -> Numbers:
            exact = {
                name: exact_if_still(x, now.get(name, self.numbers.get(name)))
                for name, x in values.items()
            }
            return values, [(values[name], e) for name, e in exact.items() if e is not None]

        return self.remade(self._made, read, known)

    def _number(self, flow: Flow, name: str, value: Any) -> jax.Array:
        if not _is_number(value):
            raise TypeError(
                f"{self.name}: the hyperparameter `{name}` must be one number, but is "
                f"{describe_leaf(value)}."
            )
        if isinstance(value, jax.Array) and not value.weak_type:
            return value
        dtype = self.dtype or accumulator_dtype(*_dtypes(flow))
        return jnp.asarray(
            value, dtype if jnp.issubdtype(jnp.result_type(value), jnp.floating) else None
        )

    def _made(self, values: dict[str, Any]) -> GradientTransformation:
        made = inspect.BoundArguments(self.bound.signature, dict(self.bound.arguments))
        for parameter in self.bound.signature.parameters.values():
            if parameter.kind is parameter.VAR_KEYWORD and parameter.name in made.arguments:
                given = made.arguments[parameter.name]
                made.arguments[parameter.name] = {k: values.get(k, v) for k, v in given.items()}
            elif parameter.name in values:
                made.arguments[parameter.name] = values[parameter.name]
        return as_transformation(self.factory(*made.args, **made.kwargs), self.name)


def _dtypes(flow: Flow) -> list:
    given = flow.leaves if flow.params is None else flow.param_arrays
    return [x.dtype for x, on in zip(given, flow.trainable, strict=True) if on]


class _Injection(Description):
    """Writes `inject_hyperparams(adam)(learning_rate=0.1)`, as one calls it."""

    @property
    def name(self) -> str:
        given = self.arguments
        options = [given["inner_factory"].__name__]
        options += [f"{k}={given[k]!r}" for k in ("static_args", "hyperparam_dtype") if given[k]]
        return f"inject_hyperparams({', '.join(options)})"

    def written_arguments(self, all_of_them: bool = False) -> list[tuple[str | None, Any]]:
        unnamed = [(None, value) for value in self.arguments["args"]]
        return [*unnamed, *self.arguments["kwargs"].items()]


def _with_call(description: Description, made: Any) -> GradientTransformation:
    fields = (description.constructor, description.signature, description.arguments)
    return with_description(_Injection(*fields), made)


def _described_as_called(function: Callable[..., Any]) -> Callable[..., Any]:
    return described(function, _with_call)


@_described_as_called
def injected(
    inner_factory: Any, args: Any, kwargs: Any, static_args: Any, hyperparam_dtype: DType | None
) -> Any:
    signature = inspect.signature(inner_factory)
    bound = bind(inner_factory.__name__, signature, args, kwargs)
    bound.apply_defaults()
    named = dict(bound.arguments)
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            named |= named.pop(parameter.name, {})
    numeric, schedules = {}, {}
    for name, value in named.items():
        annotation = getattr(signature.parameters.get(name), "annotation", inspect.Parameter.empty)
        if name in static_args or is_numeric(annotation) is False:
            continue
        if isinstance(value, StatefulSchedule):
            schedules[name] = value
        elif is_function(value):
            schedules[name] = WrappedSchedule(value)
        elif _is_number(value):
            numeric[name] = value
    return from_body(
        _Injected("inject_hyperparams", inner_factory, bound, numeric, schedules, hyperparam_dtype)
    )


def _is_number(value: Any) -> bool:
    """Whether it is one number; no array with axes, nor a key, flag or None."""
    if isinstance(value, (jax.Array, np.ndarray, np.generic)):
        return np.ndim(value) == 0 and jnp.issubdtype(value.dtype, np.number)
    return isinstance(value, numbers.Number) and not is_flag(value)


def inject_hyperparams(
    inner_factory: Callable[..., Any],
    static_args: str | Iterable[str] = (),
    hyperparam_dtype: Any = None,
) -> Callable[..., GradientTransformation]:
    """Keep the numeric arguments of a constructor in the state, to be read, set and scheduled.

        tx = inject_hyperparams(adamw)(learning_rate=1e-3)
        state = tx.init(params)
        state.hyperparams["learning_rate"] = jnp.asarray(1e-4)

    Any of them may be given as a schedule, also one that the constructor takes as a number only;
    the state then has the value of the last step, and setting it has no effect. Nothing is traced
    anew when a number changes.

    The state has float32 arrays. A decay b that still is what was given, or is what a schedule
    gave, counts as that number: 1 - b and log b are taken of it in float64, and the steps are those
    of the bare transformation. One that was set since counts as what its array holds, as in
    `set_hyperparams`: for more digits give the constructor another number, or use `tunable`.

    The numeric arguments of gradtx's constructors are those that are annotated as real numbers:
    integers, flags, dtypes and masks stay what they are. Of other functions' arguments they are all
    numbers and functions that are given or are defaults, except those in `static_args`: arrays with
    axes and keys stay what they are, too.

    Args:
        inner_factory: Constructor of a transformation: of gradtx, of Optax, or your own function.
        static_args: Names of arguments that shall not be in the state.
        hyperparam_dtype: Dtype of the numbers; None for float32, or wider where parameters are.

    Returns:
        A constructor with the same arguments. Its transformations have an
        `InjectStatefulHyperparamsState`.

    Raises:
        TypeError: If `inner_factory` is no function; on update, if a hyperparameter is not one
            number.
        ValueError: If `static_args` names no argument; on update, if a name was added to or is
            missing from `hyperparams`.

    Differs: Optax keeps them in the dtype of the parameters, where bfloat16 makes 1 of b2 = 0.999;
        and integers such as `memory_size`, which decide about shapes, too.
    """
    if not callable(inner_factory):
        raise TypeError(
            "inject_hyperparams: `inner_factory` must be a function that makes a transformation, "
            f"but is {inner_factory!r}. Give the arguments in a second call: "
            "inject_hyperparams(adam)(learning_rate=0.1)."
        )
    static = (static_args,) if isinstance(static_args, str) else tuple(static_args)
    signature = inspect.signature(inner_factory)
    unknown = [name for name in static if name not in signature.parameters]
    if unknown:
        raise ValueError(
            f"inject_hyperparams: `static_args` must be arguments of {inner_factory.__name__}, "
            f"{list(signature.parameters)}, but {unknown[0]!r} is not."
        )

    @functools.wraps(inner_factory)
    def wrapped(*args: Any, **kwargs: Any) -> GradientTransformation:
        kinds = {p.kind for p in signature.parameters.values()}
        if not kinds & {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.POSITIONAL_ONLY}:
            named = signature.bind_partial(*args).arguments
            args, kwargs = (), named | kwargs
        return injected(inner_factory, args, kwargs, static, hyperparam_dtype)

    return wrapped


inject_stateful_hyperparams = inject_hyperparams
InjectHyperparamsState = InjectStatefulHyperparamsState
