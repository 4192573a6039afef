"""Bodies around other transformations: those that change their rules, and those that run them."""

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

from .body import Body, Composite, Lifted, Plan


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

    def parts(self) -> Iterator[tuple[str, Any]]:
        return iter((("", self.inner),))

    def flatten_state(self, state: Any) -> list:
        return self.body.flatten_state(state)

    def unflatten_state(self, slots: list) -> Any:
        return self.body.unflatten_state(slots)

    def emit(self, plan: Plan) -> None:
        self.body.emit(plan)


@dataclasses.dataclass(eq=False)
class Wrapper(Body):
    """A body that works on the whole tree with transformations inside.

    A subclass is a dataclass whose fields named in `inside` hold them.
    """

    name: str
    inside: ClassVar[tuple[str, ...]] = ("inner",)

    def parts(self) -> Iterator[tuple[str, Any]]:
        single = len(self.inside) == 1
        return iter([("" if single else name, getattr(self, name)) for name in self.inside])


def innermost(body: Body) -> Iterator[Body]:
    """The bodies that a body is made of in the end: lifted rules, and what is no chain of them."""
    if isinstance(body, Around):
        yield from innermost(body.body)
    elif isinstance(body, (Composite, Wrapper)):
        inside = (getattr(body, name) for name in body.inside) if isinstance(body, Wrapper) else ()
        for child in body.children if isinstance(body, Composite) else inside:
            yield from innermost(child.update.body)
    else:
        yield body


def map_rules(body: Body, change: Callable[[Lifted], Lifted]) -> Body:
    """The body with every rule in it changed; pairs of functions from elsewhere stay."""
    if isinstance(body, Lifted):
        return change(body)
    if isinstance(body, Around):
        return dataclasses.replace(body, body=map_rules(body.body, change))
    if isinstance(body, Wrapper):
        inside = {name: _mapped(getattr(body, name), change) for name in body.inside}
        return dataclasses.replace(body, **inside)
    if isinstance(body, Composite):
        children = tuple(_mapped(child, change) for child in body.children)
        return dataclasses.replace(body, children=children)  # type: ignore[type-var]
    return body


def _mapped(child: Any, change: Callable[[Lifted], Lifted]) -> Any:
    inner = map_rules(child.update.body, change)
    return child._replace(
        init=dataclasses.replace(child.init, body=inner),
        update=dataclasses.replace(child.update, body=inner),
    )
