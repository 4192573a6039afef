"""Values that carry a description: what they print, equal, hash and pickle by."""

from collections.abc import Callable
from typing import Any

from .config import check_picklable, rebuild
from .describe import Description
from .show import written


def reduced(description: Description) -> tuple[Any, ...]:
    """What `__reduce__` of a described value returns: how to make it again."""
    check_picklable(description)
    return rebuild, (description.constructor, *description.call_arguments())


class Described:
    """Base of values with a description: equality, hash, repr and pickling go by it."""

    __slots__ = ()
    description: Description

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Described):
            return NotImplemented
        return type(self) is type(other) and self.description.key == other.description.key

    def __hash__(self) -> int:
        return hash(self.description.key)

    def __repr__(self) -> str:
        return written(self.description)

    def __reduce__(self) -> tuple[Any, ...]:
        return reduced(self.description)


class DescribedFunction(Described):
    """A function made by a constructor, such as a schedule: callable, printable, comparable."""

    __slots__ = ("__weakref__", "_function", "description")
    belongs = (
        "It is a schedule or a mask, for an argument of a transformation; a schedule by itself is "
        "scale_by_schedule(...)."
    )

    def __init__(self, description: Description, function: Callable[..., Any]):
        self.description = description
        self._function = function

    def __call__(self, *args: Any) -> Any:
        return self._function(*args)
