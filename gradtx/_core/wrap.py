"""Bodies around other transformations: those that change their rules, and those that run them."""

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, TypeVar

import jax
import jax.numpy as jnp

from .body import Body, Inside, Plan
from .composite import Composite
from .flow import Flow
from .lifted import Lifted
from .state import fields_of, wrong_state

S = TypeVar("S")


@dataclasses.dataclass(eq=False)
class Around(Body):
    """A body that was made of a transformation by changing its rules.

    Attributes:
        name: The constructor's name.
        inner: The transformation as it was given.
        body: Its body, changed.
    """

    name: str
    inner: Any
    body: Body

    @functools.cached_property
    def width(self) -> int:
        return self.body.width

    @property
    def insides(self) -> list[Body]:
        return [self.body]

    def parts(self) -> Iterator[tuple[str, Any]]:
        return iter((("", self.inner),))

    def flatten_state(self, state: Any) -> list:
        return self.body.flatten_state(state)

    def unflatten_state(self, slots: list) -> Any:
        return self.body.unflatten_state(slots)

    def inner_states(self, state: Any) -> list[Inside]:
        return [Inside("", self.body, state)]

    def with_inner_states(self, state: Any, states: list) -> Any:
        return states[0]

    def resting(self, flow: Flow) -> list[bool]:
        return self.body.resting(flow)

    @property
    def keeps_zero(self) -> bool:
        return self.body.keeps_zero

    def left_out(self, flow: Flow) -> list[bool]:
        return self.body.left_out(flow)

    def emit(self, plan: Plan) -> None:
        self.body.emit(plan)


@dataclasses.dataclass(eq=False)
class Wrapper(Body):
    """A body that works on the whole tree with transformations inside.

    A subclass is a dataclass whose fields named in `inside` hold them, first the one that it is
    about; the fields of its state that are an `InnerState` hold their states, in the same order
    unless `held` has another. One that holds them in another way overrides `children` and
    `with_children`, or `inner_states` and `with_inner_states`.
    """

    name: str
    inside: ClassVar[tuple[str, ...]] = ("inner",)
    held: ClassVar[tuple[str, ...]] = ()
    any_shape = True
    # Whether it leaves a parameter alone that the first of those inside never moves.
    rests_as_inside: ClassVar[bool] = False

    @property
    def children(self) -> tuple[Any, ...]:
        """The transformations inside."""
        return tuple(getattr(self, name) for name in self.inside)

    def with_children(self, children: tuple[Any, ...]) -> Body:
        """The body with other transformations inside; one that makes them itself may refuse."""
        return dataclasses.replace(self, **dict(zip(self.inside, children, strict=True)))

    def with_rules(self, change: Callable[[Lifted], Lifted]) -> Body:
        """The body with every rule in it changed."""
        return self.with_children(tuple(map_rules_of(child, change) for child in self.children))

    @property
    def insides(self) -> list[Body]:
        return [child.update.body for child in self.children]

    def resting(self, flow: Flow) -> list[bool]:
        if self.moves_as_inside or self.rests_as_inside:
            return self.insides[0].resting(flow)
        return super().resting(flow)

    @property
    def keeps_zero(self) -> bool:
        return self.moves_as_inside and all(body.keeps_zero for body in self.insides)

    def left_out(self, flow: Flow) -> list[bool]:
        if self.moves_as_inside or self.rests_as_inside:
            return self.insides[0].left_out(flow)
        return super().left_out(flow)

    def parts(self) -> Iterator[tuple[str, Any]]:
        labels = self.inside if len(self.inside) > 1 else ("",)
        return iter(zip(labels, self.children, strict=True))

    def inner_states(self, state: Any) -> list[Inside]:
        labels = ("", *self.inside[1:])
        bodies = [child.update.body for child in self.children]
        states = [getattr(state, name) for name in self._held(state)]
        return [Inside(*x) for x in zip(labels, bodies, states, strict=True)]

    def with_inner_states(self, state: Any, states: list) -> Any:
        return state._replace(**dict(zip(self._held(state), states, strict=True)))

    def _held(self, state: Any) -> tuple[str, ...]:
        if self.held:
            return self.held
        return tuple(n for n, field in fields_of(type(state)).items() if field.kind == "inner")


class SameState(Wrapper):
    """A wrapper whose state is that of the one transformation inside."""

    def inner_states(self, state: Any) -> list[Inside]:
        return [Inside("", self.children[0].update.body, state)]

    def with_inner_states(self, state: Any, states: list) -> Any:
        del state
        return states[0]


def every_body(body: Body) -> Iterator[Body]:
    """A body, and those of all that it is made of."""
    yield body
    for inside in body.insides:
        yield from every_body(inside)


def innermost(body: Body) -> Iterator[Body]:
    """The bodies that a body is made of in the end: lifted rules, and what is no chain of them."""
    for inside in body.insides:
        yield from innermost(inside)
    if not isinstance(body, (Around, Composite, Wrapper)):
        yield body


def map_rules(body: Body, change: Callable[[Lifted], Lifted]) -> Body:
    """The body with every rule in it changed; pairs of functions from elsewhere stay."""
    if isinstance(body, Lifted):
        return change(body)
    if isinstance(body, Around):
        return dataclasses.replace(body, body=map_rules(body.body, change))
    if isinstance(body, Wrapper):
        return body.with_rules(change)
    if isinstance(body, Composite):
        children = tuple(map_rules_of(child, change) for child in body.children)
        return dataclasses.replace(body, children=children)  # type: ignore[type-var]
    return body


def map_rules_of(tx: Any, change: Callable[[Lifted], Lifted]) -> Any:
    """A transformation with every rule in it changed."""
    body = map_rules(tx.update.body, change)
    return tx._replace(
        init=dataclasses.replace(tx.init, body=body),
        update=dataclasses.replace(tx.update, body=body),
    )


def as_abstract_as(flow: Flow, value: Any) -> Any:
    """Arrays of a first state as they are, or only described where the parameters are, too."""
    if flow.is_abstract:
        return jax.eval_shape(lambda: value)
    return value


def first_count(flow: Flow) -> Any:
    """The count before the first step."""
    return as_abstract_as(flow, jnp.zeros([], jnp.int32))


def check_state(owner: str, kind: type[S], state: Any) -> S:
    """The state, or an error if it is of something else."""
    if isinstance(state, kind):
        return state
    raise wrong_state(owner, kind, state)


def need_params(owner: str, flow: Flow) -> None:
    """Raise if the parameters were not given."""
    if flow.params is None:
        raise ValueError(f"{owner} needs the parameters: call update(updates, state, params).")
