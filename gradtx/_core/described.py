"""Values that carry a description: what they print, equal, hash and pickle by."""

from collections.abc import Callable

from .config import check_picklable, rebuild
from .describe import Description
from .show import written


def reduced(description: Description) -> tuple:
    """What `__reduce__` of a described value returns: how to make it again."""
    check_picklable(description)
    return rebuild, (description.constructor, *description.call_arguments())


class Described:
    """Base of values with a description: equality, hash, repr and pickling go by it."""

    __slots__ = ()
    description: Description

    def __eq__(self, other) -> bool:
        if not isinstance(other, Described):
            return NotImplemented
        return type(self) is type(other) and self.description.key == other.description.key

    def __hash__(self) -> int:
        return hash(self.description.key)

    def __repr__(self) -> str:
        return written(self.description)

    def __reduce__(self):
        return reduced(self.description)


class DescribedFunction(Described):
    """A function made by a constructor, such as a schedule: callable, printable, comparable."""

    __slots__ = ("__weakref__", "_function", "description")

    def __init__(self, description: Description, function: Callable):
        self.description = description
        self._function = function

    def __call__(self, *args):
        return self._function(*args)
