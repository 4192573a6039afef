"""How a state holds a hyperparameter: as one number, exactly if a decay, beside a schedule."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .._core.body import Body
from .._core.leaves import describe_leaf, is_traced
from .._core.lifted import Lifted
from .._core.live import Exact, live, taken_as_decays
from .._core.rule import DecayNumber, expand, schedule_of
from .._core.transformation import GradientTransformation
from .._core.wrap import Wrapper, innermost
from .numbers import Number, changes_at, rebuilt


class HeldDecay(NamedTuple):
    """A decay b, and 1 - b and log b, which would lose their digits if taken of b in float32."""

    value: jax.Array
    one_minus: jax.Array
    log: jax.Array


class HeldSchedule(NamedTuple):
    """What a scheduled number is from when it is set on, and whether it is set."""

    value: Any  # a number or a HeldDecay
    overridden: jax.Array


def number_dtype() -> np.dtype:
    """The dtype of hyperparameters: float32, or float64 under jax_enable_x64."""
    return np.dtype(jnp.result_type(float))


def first(number: Number) -> Any:
    """What the state holds of a number before the first step; a schedule is not asked."""
    if number.is_scheduled:
        zero = made_of(0.0, number.is_decay, number_dtype())
        return HeldSchedule(zero, jnp.array(False))
    return made_of(number.value, number.is_decay, number_dtype())


def made_of(given: Any, decay: bool, dtype: Any) -> Any:
    """A number as the state holds it; of a known decay what goes with it is taken in float64."""
    if not decay:
        return _array(given, dtype)
    if not is_traced(given) and np.ndim(given):
        exact = [tuple(expand("b", DecayNumber(float(b))).values()) for b in np.ravel(given)]
        columns = np.reshape(np.transpose(exact), (3, *np.shape(given)))
        return HeldDecay(*(_array(c, dtype) for c in columns))
    if is_traced(given):
        given = given.astype(dtype)
    return HeldDecay(*(_array(x, dtype) for x in expand("b", DecayNumber(given)).values()))


def _array(x: Any, dtype: Any) -> jax.Array:
    return x.astype(dtype) if is_traced(x) else jnp.array(np.asarray(x, dtype))


def value_of(held: Any) -> Any:
    """The number itself."""
    if isinstance(held, HeldSchedule):
        held = held.value
    return held.value if isinstance(held, HeldDecay) else held


def exact_part(held: Any) -> Exact | None:
    """What goes with it if it is a decay."""
    return Exact(held.one_minus, held.log) if isinstance(held, HeldDecay) else None


def followed(held: HeldSchedule, now: Any) -> Any:
    """A scheduled number: what the schedule gave, or what it is set to."""

    def either(ours: jax.Array, theirs: Any) -> jax.Array:
        return jnp.where(held.overridden, ours, jnp.asarray(theirs).astype(ours.dtype))

    if not isinstance(held.value, HeldDecay):
        return either(held.value, now)
    return HeldDecay(*map(either, held.value, expand("b", DecayNumber(now)).values()))


def replaced(held: Any, given: Any) -> Any:
    """What the state holds after a number was set, in dtype, shape and place as before."""
    old = held.value if isinstance(held, HeldSchedule) else held
    decay = isinstance(old, HeldDecay)
    new = made_of(given, decay, value_of(held).dtype)
    new = jax.tree.map(_placed_like, new, old)
    if not isinstance(held, HeldSchedule):
        return new
    return HeldSchedule(new, _placed_like(jnp.array(True), held.overridden))


def released(held: HeldSchedule) -> HeldSchedule:
    """What the state holds when the schedule has its number back."""
    return held._replace(overridden=_placed_like(jnp.array(False), held.overridden))


def _placed_like(new: jax.Array, old: jax.Array) -> jax.Array:
    if new.shape != old.shape:
        new = jnp.broadcast_to(new, old.shape)
    is_known = not is_traced(old) and not is_traced(new)
    return jax.device_put(new, old.sharding) if is_known and old.committed else new


def check_held(owner: str, names: dict[str, Number], hyperparams: Any) -> None:
    """Raise if the numbers in a state are not those that there must be, as they must be."""
    if not isinstance(hyperparams, dict) or set(hyperparams) != set(names):
        given = sorted(hyperparams) if isinstance(hyperparams, dict) else hyperparams
        raise ValueError(
            f"{owner}: the hyperparameters in its state must be {sorted(names)}, but are {given}. "
            "Was the state made by another transformation?"
        )
    for name, number in names.items():
        held = hyperparams[name]
        inner = held.value if isinstance(held, HeldSchedule) else held
        fits = isinstance(held, HeldSchedule) == number.is_scheduled
        if not fits or isinstance(inner, HeldDecay) != number.is_decay:
            kind = "HeldDecay" if number.is_decay else "scalar"
            kind = "HeldSchedule" if number.is_scheduled else kind
            raise ValueError(
                f"{owner}: in its state `{name}` must be a {kind}, but is {describe_leaf(held)}. "
                "Set it by set_hyperparams(tx, state, ...), which knows what goes with it."
            )


def with_decays_found(tx: GradientTransformation, numbers: Mapping[str, Number]) -> dict:
    """The numbers, each knowing whether it is a decay: what their constructors take it for."""
    marks = {name: _mark(number) for name, number in numbers.items()}
    changes = changes_at({name: number.address for name, number in numbers.items()})
    with live((mark, None) for mark in marks.values()):
        rebuilt(tx, changes, marks)
        found = taken_as_decays(list(marks.values()))
    return {
        name: dataclasses.replace(number, is_decay=is_decay)
        for (name, number), is_decay in zip(numbers.items(), found, strict=True)
    }


def _mark(number: Number) -> Any:
    """Something of the number's kind with an identity of its own."""
    if not (number.is_scheduled and number.may_be_scheduled):
        return jnp.array(0.5 if number.is_scheduled else number.value)
    schedule = number.value
    return described_as(schedule, lambda count: schedule(count))


def described_as(schedule: Any, function: Any) -> Any:
    """The function with the description of a schedule: some constructors read its peak there."""
    if hasattr(schedule, "description"):
        function.description = schedule.description
    return function


def clocked(body: Body, state: Any) -> Iterator[tuple[Callable, Any]]:
    """The schedules of the rules in a body, each with the count at which it is asked next."""
    rules = [body] if isinstance(body, Lifted) else []
    if isinstance(body, Wrapper):
        own = [x for x in vars(body).values() if isinstance(x, Body)]
        rules += [x for part in own for x in innermost(part) if isinstance(x, Lifted)]
    for rule in rules:
        for schedule in map(schedule_of, rule.numbers.values()):
            if schedule is not None and hasattr(state, rule.rule.clock):
                yield schedule, getattr(state, rule.rule.clock)
    for inside in body.inner_states(state):
        yield from clocked(inside.body, inside.state)
