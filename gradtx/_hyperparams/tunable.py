"""Hyperparameters in the state of any transformation: what makes it anew of them."""

import contextlib
import contextvars
import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from .._core.arguments import is_function
from .._core.body import Body, start
from .._core.flow import Flow
from .._core.lifted import Lifted
from .._core.live import enter
from .._core.numerics import safe_increment
from .._core.remade import Numbers, Remade
from .._core.transformation import (
    GradientTransformation,
    as_transformation,
    from_body,
    transformation,
)
from .._core.wrap import (
    as_abstract_as,
    check_state,
    every_body,
    first_count,
    map_rules_of,
)
from ..typing import Clock, InnerState, Scalars, Schedule
from .held import (
    HeldSchedule,
    check_held,
    clocked,
    described_as,
    exact_part,
    first,
    followed,
    value_of,
    with_decays_found,
)
from .numbers import (
    Number,
    Survey,
    changes_at,
    find,
    names_of,
    rebuilt,
)

# What the numbers of some tunable bodies start from instead, by the bodies' identities: for each
# place where the body stands, in order.
STARTS: contextvars.ContextVar[dict[int, list] | None] = contextvars.ContextVar(
    "starts", default=None
)


class TunableState(NamedTuple):
    """Steps so far, the hyperparameters by name, and the state of the transformation."""

    count: Clock
    hyperparams: Scalars
    inner_state: InnerState


@dataclasses.dataclass(eq=False)
class Tunable(Remade):
    """A transformation that is made anew of the numbers in its state.

    Attributes:
        name: The constructor's name.
        inner: The transformation with the numbers that it starts with.
        given: The same before its rules were changed: what can be made anew.
        numbers: Those of its numbers that are in the state, by their names there.
    """

    inner: Any
    given: Any
    numbers: dict[str, Number]

    def with_rules(self, change: Callable[[Lifted], Lifted]) -> Body:
        inner = map_rules_of(self.inner, change)
        return dataclasses.replace(self, inner=inner, changes=(*self.changes, change))

    @property
    def held_addresses(self) -> list[tuple[Any, ...]]:
        """Where the numbers in its state are in its own arguments."""
        return [("tx", *number.address) for number in self.numbers.values()]

    def init(self, flow: Flow) -> Any:
        starts = (STARTS.get() or {}).get(id(self))
        state = TunableState(first_count(flow), as_abstract_as(flow, self.first()), None)
        if not starts:
            return state._replace(inner_state=start(self.inner.update.body, flow))
        state = state._replace(hyperparams=starts.pop(0) if len(starts) > 1 else starts[0])
        with self.made_of(state) as inner:
            return state._replace(inner_state=start(inner.update.body, flow))

    def first(self) -> dict[str, Any]:
        """The numbers in the first state, by name."""
        return {name: first(number) for name, number in self.numbers.items()}

    def checked(self, state: Any) -> TunableState:
        """The state, or an error if it is of something else or its numbers are."""
        state = check_state(self.name, TunableState, state)
        check_held(self.name, self.numbers, state.hyperparams)
        return state

    def at_step(self, flow: Flow, state: Any, act: Callable[[Body, Any], Any]) -> Any:
        before, flow.taken = flow.taken, True
        with self.made_of(state) as inner:
            result, inner_state = act(inner.update.body, state.inner_state)
        count = safe_increment(state.count)
        if flow.taken is not True:
            count = jnp.where(flow.taken, count, state.count)
        flow.taken = before if flow.taken is True else before & flow.taken
        return result, state._replace(count=count, inner_state=inner_state)

    def made_of(
        self, state: Any, seen: dict[str, Any] | None = None
    ) -> contextlib.AbstractContextManager[Any]:
        """The transformation of the numbers in a state, to be used inside the context.

        Args:
            state: The state.
            seen: Where schedules that are asked put what they gave, by the numbers' names.
        """
        known = jax.tree.leaves(self.checked(state).hyperparams)
        if any(n.is_scheduled and not n.may_be_scheduled for n in self.numbers.values()):
            known.append(state.count)
        return self.remade(
            lambda given: rebuilt(self.given, self._changes, given),
            lambda: self._values(state, seen),
            known if seen is None else None,
        )

    def _values(self, state: Any, seen: dict[str, Any] | None) -> Numbers:
        """What the constructors are given by name, and what is known of the numbers among it."""
        values, known = {}, []
        for name, number in self.numbers.items():
            held = state.hyperparams[name]
            if number.is_scheduled and number.may_be_scheduled:
                values[name] = _following(number.value, held, name, seen)
                continue
            if number.is_scheduled:
                held = followed(held, number.value(state.count))
            values[name] = value_of(held)
            known.append((values[name], exact_part(held)))
        return values, known

    @functools.cached_property
    def _changes(self) -> Any:
        return changes_at({name: number.address for name, number in self.numbers.items()})

    def present(self, state: Any) -> dict[str, Any]:
        """The numbers that the next step uses, by name."""
        if jnp.ndim(state.count):  # several states in one
            return jax.vmap(self.present)(state)
        state, seen = self.checked(state), {}
        if any(number.is_scheduled for number in self.numbers.values()):
            with self.made_of(state, seen) as inner:
                for schedule, count in clocked(inner.update.body, state.inner_state):
                    schedule(count)
        now = {}
        for name, number in self.numbers.items():
            held = state.hyperparams[name]
            if number.is_scheduled and name in seen:
                now[name] = seen[name]
            elif number.is_scheduled:
                now[name] = value_of(followed(held, number.value(state.count)))
            else:
                now[name] = value_of(held)
        return now


def _following(
    schedule: Callable, held: HeldSchedule, name: str, seen: dict[str, Any] | None
) -> Callable[[Any], Any]:
    def follow(count: Any) -> Any:
        now = followed(held, schedule(count))
        value = value_of(now)
        enter(value, exact_part(now))
        if seen is not None:
            seen.setdefault(name, value)
        return value

    return described_as(schedule, follow)


@transformation
def tunable(tx: Any, /, *names: str, **schedules: Schedule) -> GradientTransformation:
    """Keep hyperparameters of a finished transformation in its state: the same steps, but live.

        tx = tunable(chain(clip_by_global_norm(1.0), adamw(1e-3)))
        state = tx.init(params)
        state = set_hyperparams(tx, state, learning_rate=3e-4, weight_decay=0.01)
        hyperparams(tx, state)  # {"max_norm": 1.0, "learning_rate": 3e-4, "b1": 0.9, ...}

    The steps are those of `tx` with the numbers that the state has. Decays are held exactly, with
    1 - b and log b. No value is part of the compiled program: it is the same for all, another one
    compiles nothing, and `jax.vmap` and `jax.grad` go over values as over any other array.

    What may vary are the arguments annotated as real numbers, of every constructor inside; those
    of a named optimizer, not of the chain that it makes. Integers, flags, masks, dtypes and
    arguments that are None decide about structure and stay what they are. A number's name is its
    argument's; where several have it, it is qualified by what it belongs to: the keys and names of
    groups and links, or the constructor, as in "decoder/learning_rate" or "adamw/learning_rate",
    "scale#2/step_size" for the second `scale`. The rate of weight_decay=decay(...) goes by the
    argument's name, "weight_decay", and its peak by "weight_decay/peak".

    A number that is a schedule stays one: it is evaluated where it was, at the count of its own
    rule, until `set_hyperparams` sets it, and again after `release_hyperparams`. A number of a
    constructor that takes no schedule for it is evaluated at the count of the `tunable`: the steps
    that it made, without those that something inside has skipped or only accumulated.

    Shapes: the state is that of `tx`, and one scalar for each number: three for a decay, one more
        for a schedule.
    Units: those of `tx`.

    Args:
        tx: The transformation.
        *names: Which numbers; without any, all of them. Each is a name that is of one number only.
        **schedules: Schedules for numbers by name, for those that have none or in place of theirs.

    Returns:
        The transformation, with a `TunableState`: `count`, `hyperparams` by name and `inner_state`.
        Read and change `hyperparams` by the functions `hyperparams`, `set_hyperparams` and
        `release_hyperparams`.

    Raises:
        TypeError: If `tx` is no transformation or what is given for a name is no schedule.
        ValueError: If a name is of no number or of several, or of what decides about structure; if
            there is no number at all.

    Differs: Optax's `inject_hyperparams` wraps the constructor, keeps 1 - b2 to 5 digits, takes
        integers for numbers that may vary and does not say when a schedule overwrites what was set.
    """
    owner = "tunable"
    given = as_transformation(tx, owner)
    survey = Survey(given)
    places = [number.place for number in survey.numbers]
    if not places:
        if any(isinstance(body, Tunable) for body in every_body(given.update.body)):
            raise ValueError(f"{owner}: it is tunable already, all of it: {tx!r}.")
        raise ValueError(f"{owner}: there is no number that may vary in {tx!r}.")
    for name, schedule in schedules.items():
        if not is_function(schedule):
            raise TypeError(
                f"{owner}: `{name}` must be a schedule, but is {schedule!r}. A number starts from "
                "what its constructor was given; set_hyperparams(tx, state, ...) changes it."
            )
    scheduled = {find(owner, name, places, survey.fixed): f for name, f in schedules.items()}
    chosen = {find(owner, name, places, survey.fixed) for name in names} | set(scheduled)
    numbers = {
        name: dataclasses.replace(number, value=scheduled.get(index, number.value))
        for index, (name, number) in enumerate(zip(names_of(places), survey.numbers, strict=True))
        if index in chosen or not names
    }
    inner = given
    if scheduled:
        values = {str(i): _known_first(survey.numbers[i], f) for i, f in scheduled.items()}
        addresses = {str(i): survey.numbers[i].address for i in scheduled}
        inner = rebuilt(given, changes_at(addresses), values)
    return from_body(Tunable(owner, inner, inner, with_decays_found(inner, numbers)))


def _known_first(number: Number, schedule: Callable) -> Any:
    """What the constructor is given in the place of a schedule before the first step."""
    return schedule if number.may_be_scheduled else number.value
