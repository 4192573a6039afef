"""Read, set, release and sweep the hyperparameters that are in a state."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._core.arguments import check_arguments, is_function
from .._core.body import Body
from .._core.containers import boxed_as, opened
from .._core.first import transformation_first
from .._core.leaves import is_traced
from .._core.transformation import as_transformation
from .held import HeldSchedule, made_of, number_dtype, released, replaced, value_of
from .numbers import Number, Place, find, names_of
from .tunable import STARTS, Tunable, TunableState


@dataclasses.dataclass(frozen=True, eq=False)
class _Found:
    """A hyperparameter somewhere in a state.

    Attributes:
        body: Whose it is.
        at: Which of the tunable bodies that is, in the order of the walk.
        key: Its name there.
        place: Where it belongs, seen from the outermost transformation.
    """

    body: Tunable
    at: int
    key: str
    place: Place

    @property
    def number(self) -> Number:
        """What is known of it."""
        return self.body.numbers[self.key]


class _Held:
    """The hyperparameters in the state of a transformation."""

    def __init__(self, owner: str, tx: Any, state: Any):
        self.owner, self.body, self.state = owner, as_transformation(tx, owner).update.body, state
        self.states: list[TunableState] = []
        self.found: list[_Found] = []
        tunables = list(_tunables(self.body, state, (), ()))
        for body, inner, path, labels in tunables:
            if len(tunables) > 1:
                path = (*path[:-1], f"{path[-1]}#{len(self.states) + 1}")
            self.found += [
                _Found(body, len(self.states), key, number.place.inside(path, labels))
                for key, number in body.numbers.items()
            ]
            self.states.append(inner)
        if not self.found:
            raise ValueError(
                f"{owner}: no hyperparameters are in the state of {tx!r}. Make it "
                "tunable(tx), with the names of those that you want, and its state by that."
            )
        keys = [found.key for found in self.found]
        longer = names_of([found.place for found in self.found])
        self.names = [k if keys.count(k) == 1 else n for k, n in zip(keys, longer, strict=True)]

    def find(self, name: str) -> _Found:
        """The hyperparameter of a name, or an error."""
        if name in self.names:
            return self.found[self.names.index(name)]
        places = [found.place for found in self.found]
        return self.found[find(self.owner, name, places, (), self.names)]

    def entry(self, found: _Found) -> Any:
        """What the state holds."""
        return self.states[found.at].hyperparams[found.key]

    def with_entries(self, entries: dict[_Found, Any]) -> Any:
        """The state with others."""
        states = list(self.states)
        for found, entry in entries.items():
            old = states[found.at]
            states[found.at] = old._replace(hyperparams={**old.hyperparams, found.key: entry})
        return _with_tunables(self.body, self.state, iter(states))


def _tunables(body: Body, state: Any, path: tuple, labels: tuple) -> Iterator[tuple]:
    """(body, state, path, labels) of every tunable body, outermost first."""
    path = (*path, body.name)
    if isinstance(body, Tunable):
        yield body, body.checked(state), path, labels
    for inside in body.inner_states(state):
        further = (inside.label,) if inside.label else ()
        yield from _tunables(inside.body, inside.state, (*path, *further), (*labels, *further))


def _with_tunables(body: Body, state: Any, states: Iterator[TunableState]) -> Any:
    if isinstance(body, Tunable):
        state = next(states)
    inner = [_with_tunables(x.body, x.state, states) for x in body.inner_states(state)]
    return body.with_inner_states(state, inner) if inner else state


@transformation_first
def hyperparams(tx: Any, state: Any) -> dict[str, jax.Array]:
    """The hyperparameters that are in a state, as the next step uses them.

    Those that follow a schedule are what it says at the count that is next.

    Args:
        tx: A transformation that is `tunable`, or has such inside.
        state: Its state; of several in one, as `sweep` makes, the values have their axis.

    Returns:
        {name: scalar}, in float32, or in float64 under jax_enable_x64.

    Raises:
        ValueError: If nothing in `tx` is tunable, or the state is not one of its.
    """
    held = _Held("hyperparams", tx, opened(state))
    now: dict[int, dict[str, Any]] = {}
    for found in held.found:
        if found.at not in now:
            now[found.at] = found.body.present(held.states[found.at])
    pairs = zip(held.names, held.found, strict=True)
    return {name: now[found.at][found.key] for name, found in pairs}


@transformation_first
def set_hyperparams(
    tx: Any, state: Any, values: Mapping[str, Any] | None = None, /, **named: Any
) -> Any:
    """A state with other hyperparameters.

        state = set_hyperparams(tx, state, {"adamw/b1": 0.8}, learning_rate=3e-4)

    Outside of `jax.jit` a number must be in the range that its constructor has for it; a traced one
    is not known. A number that follows a schedule is held from then on, until
    `release_hyperparams`. Nothing else in the state changes, nor do dtypes: no step compiles anew.

    Args:
        tx: A transformation that is `tunable`, or has such inside.
        state: Its state; one of several in one takes a number for all, or an array of them.
        values: Numbers by names.
        **named: The same for names that are identifiers.

    Returns:
        The new state.

    Raises:
        TypeError: If a value is no number.
        ValueError: If a name is of no hyperparameter in the state or of several, or is given twice;
            if a number is outside its range.
    """
    owner = "set_hyperparams"
    held = _Held(owner, tx, opened(state))
    given = _by_place(held, values, named)
    entries = {}
    for found, value in given.items():
        old = held.entry(found)
        _check(owner, found, value, np.shape(value_of(old)))
        entries[found] = replaced(old, value)
    return boxed_as(state, held.with_entries(entries))


@transformation_first
def release_hyperparams(tx: Any, state: Any, *names: str) -> Any:
    """A state in which numbers that were set follow their schedules again.

    Args:
        tx: A transformation that is `tunable`, or has such inside.
        state: Its state.
        *names: Which of them; without any, all that have a schedule.

    Returns:
        The new state.

    Raises:
        ValueError: If a name is of no hyperparameter, of several, or of one without a schedule.
    """
    owner = "release_hyperparams"
    held = _Held(owner, tx, opened(state))
    chosen = [held.find(name) for name in names]
    for name, found in zip(names, chosen, strict=True):
        if not found.number.is_scheduled:
            raise ValueError(
                f"{owner}: `{name}` follows no schedule. tunable(tx, {found.place.argument}=...) "
                "gives it one."
            )
    chosen = chosen if names else [found for found in held.found if found.number.is_scheduled]
    new = held.with_entries({found: released(held.entry(found)) for found in chosen})
    return boxed_as(state, new)


@transformation_first
def sweep(
    tx: Any, params: Any, values: Mapping[str, Any] | None = None, /, **named: Any
) -> tuple[Any, Any]:
    """Parameters and states of several runs in one, each with hyperparameters of its own.

        params, states = sweep(tx, params, learning_rate=[1e-3, 3e-3], b1=[0.9, 0.8])
        step = jax.jit(jax.vmap(train_step, in_axes=(0, 0, None)))

    The first run has the first number of each list, and so on; a product of them is that of
    `itertools`. Each run is the one that `tx` with these numbers makes, from its first state on.

    Shapes: every array of the parameters and of the state has one axis more, in front. What is no
        array, such as a function in a module, stays: `equinox.filter_vmap` goes over such trees.

    Args:
        tx: A transformation that is `tunable`, or has such inside.
        params: The parameters that every run starts from.
        values: Lists of numbers by names, all of one length.
        **named: The same for names that are identifiers.

    Returns:
        (parameters, states), for `jax.vmap` over both.

    Raises:
        TypeError: If a value is no list of numbers.
        ValueError: If lists differ in length or there is none, and as for `set_hyperparams`.
    """
    owner = "sweep"
    held = _Held(owner, tx, jax.eval_shape(lambda: tx.init(params)))  # leaves may be functions
    given = _by_place(held, values, named)
    lengths = {}
    for found, column in given.items():
        name = held.names[held.found.index(found)]
        label = f"{owner}: `{name}`"
        if is_function(column) or np.ndim(column) != 1:
            raise TypeError(f"{label} must be a list of numbers, but is {column!r}.")
        _check(owner, found, column, np.shape(column))
        lengths[name] = len(column)
    if len(set(lengths.values())) != 1 or 0 in lengths.values():
        raise ValueError(
            f"{owner}: the lists must be there and of one length, but their lengths are {lengths}. "
            "For all combinations give zip(*itertools.product(...)), list by list."
        )
    (length,) = set(lengths.values())
    columns = []
    for found, column in given.items():
        column = column if is_traced(column) else np.asarray(column)
        columns.append(made_of(column, found.number.is_decay, number_dtype()))

    bodies = {found.at: found.body for found in held.found}
    swept = {id(found.body) for found in given}

    def begin(entries: list) -> Any:
        numbers = {at: dict(body.first()) for at, body in bodies.items() if id(body) in swept}
        changed = {}
        for found, entry in zip(given, entries, strict=True):
            is_scheduled = isinstance(numbers[found.at][found.key], HeldSchedule)
            changed[found] = HeldSchedule(entry, jnp.array(True)) if is_scheduled else entry
            numbers[found.at][found.key] = changed[found]
        starts: dict[int, list] = {}
        for at, ours in numbers.items():  # one body may stand in several places
            starts.setdefault(id(bodies[at]), []).append(ours)
        token = STARTS.set(starts)
        try:
            state = tx.init(params)
        finally:
            STARTS.reset(token)
        # A tunable that another one has made anew did not know its start.
        return boxed_as(state, _Held(owner, tx, opened(state)).with_entries(changed))

    states = jax.vmap(begin, axis_size=length)(columns)
    return jax.tree.map(lambda p: _repeated(p, length), params), states


def _repeated(leaf: Any, length: int) -> Any:
    """A leaf of the parameters once for each run; one that is no array is for all."""
    if not isinstance(leaf, (jax.Array, np.ndarray, np.generic, float, int, complex)):
        return leaf
    return jnp.repeat(jnp.asarray(leaf)[None], length, axis=0)


def _by_place(
    held: _Held, values: Mapping[str, Any] | None, named: dict[str, Any]
) -> dict[_Found, Any]:
    """What is given for each hyperparameter."""
    given: dict[_Found, Any] = {}
    for name, value in [*(values or {}).items(), *named.items()]:
        found = held.find(name)
        if found in given:
            raise ValueError(f"{held.owner}: `{name}` is given twice, under two names.")
        given[found] = value
    return given


def _check(owner: str, found: _Found, value: Any, shape: tuple[int, ...]) -> None:
    """Raise if a value is not in the range of its constructor."""
    label = f"{owner}: {found.place.owner}"
    if is_function(value):
        raise TypeError(
            f"{label}: `{found.place.argument}` must be a number, but is a function. A schedule is "
            f"given to tunable(tx, {found.place.argument}=...)."
        )
    if value is None:
        raise TypeError(
            f"{label}: `{found.place.argument}` must be a number, but is None. Whether it is there "
            "decides about structure: give None to the constructor."
        )
    if np.shape(value) not in ((), shape):
        raise TypeError(
            f"{label}: `{found.place.argument}` must be one number or have the state's shape "
            f"{shape}, but has the shape {np.shape(value)}."
        )
    numbers = [value] if is_traced(value) or not np.ndim(value) else list(np.ravel(value))
    for number in numbers:
        if is_traced(number) and np.ndim(number):
            continue
        check_arguments(
            label,
            {found.place.argument: found.number.annotation},
            {found.place.argument: number},
        )
