"""The numeric arguments of a transformation and of all that is inside it, under their names."""

import collections
import dataclasses
import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._core.arguments import (
    concrete_number,
    is_function,
    is_numeric,
    may_be_scheduled,
)
from .._core.describe import Description
from .._core.hints import meant
from .._core.leaves import is_traced
from .._core.transformation import GradientTransformation


@dataclasses.dataclass(frozen=True, eq=False)
class Place:
    """Where a number belongs.

    Attributes:
        path: The constructors and the labels that lead to it, outermost first. A constructor that
            occurs several times has its number, as in "scale#2".
        labels: Those of them that the user chose: keys, names of groups and of links.
        argument: The argument's name.
        part_of: The argument that it is a part of, as `peak` is of weight_decay=decay(...); or "".
    """

    path: tuple[str, ...]
    labels: tuple[str, ...]
    argument: str
    part_of: str = ""

    def inside(self, path: tuple[str, ...], labels: tuple[str, ...]) -> "Place":
        """The same place seen from further out."""
        return dataclasses.replace(self, path=(*path, *self.path), labels=(*labels, *self.labels))

    @property
    def owner(self) -> str:
        """The constructor whose argument it is."""
        return _unnumbered(self.path[-1])

    def names(self) -> Iterator[str]:
        """What it can be called, from the shortest to the longest."""
        labels = "/".join(self.labels)
        yield f"{self.part_of}/{self.argument}" if self.part_of else self.argument
        if labels:
            yield f"{labels}/{self.argument}"
        yield f"{self.owner}/{self.argument}"
        if labels:
            yield f"{labels}/{self.owner}/{self.argument}"
        for part in reversed(self.path):
            yield f"{part}/{self.argument}"
        yield "/".join((*self.path, self.argument))

    def answers_to(self, name: str) -> bool:
        """Whether a name is of it: its argument, after any of what leads to it."""
        *given, argument = name.split("/")
        if argument != self.argument:
            return False
        path = iter("/".join(self.path).split("/"))
        return all(any(part in (p, _unnumbered(p)) for p in path) for part in given)


@dataclasses.dataclass(frozen=True, eq=False)
class Number:
    """A numeric argument somewhere in a transformation.

    Attributes:
        place: Where it belongs.
        address: How to get there through arguments, and places and keys in them.
        annotation: What it may be.
        value: What it is: a number, or a schedule.
        is_decay: Whether 1 - b and log b go with it: whether a constructor takes it `as_decay`.
    """

    place: Place
    address: tuple[Any, ...]
    annotation: Any
    value: Any
    is_decay: bool = False

    @property
    def is_scheduled(self) -> bool:
        """Whether it follows a schedule."""
        return is_function(self.value)

    @property
    def may_be_scheduled(self) -> bool:
        """Whether its constructor takes a schedule for it."""
        return may_be_scheduled(self.annotation)


class Survey:
    """All numbers of a transformation.

    Attributes:
        numbers: They, in the order of the arguments.
        fixed: (Place, why) of the arguments that decide about structure.
    """

    def __init__(self, tx: GradientTransformation):
        self.numbers: list[Number] = []
        self.fixed: list[tuple[Place, str]] = []
        self._times: dict[str, int] = collections.Counter()
        self._visit(tx, (), (), ())
        once = {name for name, times in self._times.items() if times == 1}
        self.numbers = [dataclasses.replace(n, place=_renamed(n.place, once)) for n in self.numbers]
        self.fixed = [(_renamed(place, once), why) for place, why in self.fixed]

    def _visit(self, value: Any, address: tuple, path: tuple, labels: tuple) -> None:
        description = _description_of(value)
        if description is not None:
            self._arguments(description, address, path, labels)
        if isinstance(value, GradientTransformation):
            held = getattr(value.update.body, "held_addresses", ())
            taken = {(*address, *inner) for inner in held}
            self.numbers = [n for n in self.numbers if n.address not in taken]
        elif isinstance(value, Mapping):
            for key, item in value.items():
                self._visit(item, (*address, key), (*path, str(key)), (*labels, str(key)))
        elif isinstance(value, (tuple, list)):
            if value and isinstance(value[0], str):  # (name, ...): a link or a group
                path, labels = (*path, value[0]), (*labels, value[0])
            for place, item in enumerate(value):
                self._visit(item, (*address, place), path, labels)

    def _arguments(self, given: Description, address: tuple, path: tuple, labels: tuple) -> None:
        name = given.constructor.__name__
        self._times[name] += 1
        path = (*path, f"{name}#{self._times[name]}")
        for parameter in given.signature.parameters.values():
            if parameter.name not in given.arguments:
                continue
            value = given.arguments[parameter.name]
            here = (*address, parameter.name)
            place = Place(path, labels, parameter.name)
            if not is_numeric(parameter.annotation):
                if not _holds_described(value):
                    self.fixed.append((place, f"is {_short(value)}, which decides about structure"))
                self._visit(value, here, path, labels)
            elif value is None:
                why = "is None, and whether it is there decides about structure"
                self.fixed.append((place, why))
            elif is_number(value) or is_function(value):
                self.numbers.append(Number(place, here, parameter.annotation, value))
            else:  # something with numbers of its own, such as `decay`
                self._parts(place, value, here)

    def _parts(self, whole: Place, value: Any, address: tuple) -> None:
        """The numbers of a value in the place of one: the first is what the others belong to."""
        before = len(self.numbers)
        self._visit(value, address, (*whole.path, whole.argument), whole.labels)
        for index, number in enumerate(self.numbers[before:], before):
            part = dataclasses.replace(number.place, part_of=whole.argument)
            self.numbers[index] = dataclasses.replace(
                number, place=whole if index == before else part
            )


def is_number(value: Any) -> bool:
    """Whether it is one real number, traced or not."""
    if is_traced(value):
        return np.ndim(value) == 0 and jnp.issubdtype(value.dtype, np.floating)
    return concrete_number(value) is not None


def names_of(places: Sequence[Place]) -> list[str]:
    """The shortest name of each place that is of no other."""
    return [
        next(
            (
                name
                for name in place.names()
                if not any(other.answers_to(name) for other in places if other is not place)
            ),
            "/".join((*place.path, place.argument)),
        )
        for place in places
    ]


def find(
    owner: str,
    name: str,
    places: Sequence[Place],
    fixed: Sequence[tuple[Place, str]],
    names: list[str] | None = None,
) -> int:
    """Which of the places a name is of, or an error with what there is.

    Args:
        owner: Who asks, for messages.
        name: The name.
        places: Of the numbers there are.
        fixed: (Place, why) of arguments that cannot vary.
        names: The names that they go by; None for the shortest.
    """
    names = names_of(places) if names is None else names
    if name in names:
        return names.index(name)
    found = [i for i, place in enumerate(places) if place.answers_to(name)]
    if len(found) == 1:
        return found[0]
    if found:
        raise ValueError(
            f"{owner}: `{name}` is ambiguous: there are {_listed(names[i] for i in found)}. "
            "Say which one, or name each."
        )
    for place, why in fixed:
        if place.answers_to(name):
            raise ValueError(
                f"{owner}: `{name}` cannot vary: in {place.owner} it {why}. The numbers that may "
                f"vary are {_listed(names)}."
            )
    close = meant(name, [*names, *(place.argument for place in places)], cutoff=0.6)
    hint = f" Did you mean `{close}`?" if close else ""
    raise ValueError(f"{owner}: there is no number `{name}`.{hint} There are {_listed(names)}.")


Changes = dict[Any, Any]  # argument, place or key -> Changes, or the name of the new value


def changes_at(addresses: Mapping[str, tuple]) -> Changes:
    """What is to be changed on the way to each of some addresses, for `rebuilt`."""
    root: Changes = {}
    for name, address in addresses.items():
        at = root
        for step in address[:-1]:
            at = at.setdefault(step, {})
        at[address[-1]] = name
    return root


def rebuilt(given: Any, changes: Any, values: Mapping[str, Any]) -> Any:
    """A transformation, or what holds some, with other numbers: made by its constructors again.

    Args:
        given: As it was.
        changes: What `changes_at` says.
        values: The new values by name.
    """
    if isinstance(changes, str):
        return values[changes]
    description = _description_of(given)
    if description is not None:
        arguments = dict(description.arguments)
        for name, inner in changes.items():
            arguments[name] = rebuilt(arguments[name], inner, values)
        bound = inspect.BoundArguments(description.signature, arguments)
        return description.constructor(*bound.args, **bound.kwargs)
    if isinstance(given, Mapping):
        return dict(given) | {k: rebuilt(given[k], inner, values) for k, inner in changes.items()}
    items = [rebuilt(v, changes[k], values) if k in changes else v for k, v in enumerate(given)]
    return type(given)(*items) if hasattr(given, "_fields") else type(given)(items)


def _description_of(value: Any) -> Description | None:
    """The call that made a value, except of functions: schedules are numbers, masks are fixed."""
    description = getattr(value, "description", None)
    fits = isinstance(description, Description) and not is_function(value)
    return description if fits else None


def _holds_described(value: Any) -> bool:
    leaves = jax.tree.leaves(value, is_leaf=lambda x: _description_of(x) is not None)
    return any(_description_of(leaf) is not None for leaf in leaves)


def _renamed(place: Place, once: set[str]) -> Place:
    path = [_unnumbered(p) if _unnumbered(p) in once else p for p in place.path]
    return dataclasses.replace(place, path=tuple(path))


def _unnumbered(part: str) -> str:
    return part.split("#")[0]


def _listed(names: Any) -> str:
    return ", ".join(f"`{name}`" for name in names) or "none"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 60 else f"a {type(value).__name__}"
