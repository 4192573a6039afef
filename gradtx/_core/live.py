"""Numbers that reach constructors as arrays, from a state, with what is known of them exactly."""

import contextlib
import contextvars
from collections.abc import Callable, Generator, Iterable
from typing import Any, NamedTuple


class Exact(NamedTuple):
    """What goes with a decay b and loses its digits if it is taken of b in float32.

    Attributes:
        one_minus: 1 - b.
        log: log b.
    """

    one_minus: Any
    log: Any


Known = Exact | Callable[[], Exact] | None  # a function is called if the value is a decay


class _Entry:
    """A value, kept so that no other can have its identity, and whether it was taken as a decay."""

    def __init__(self, value: Any, exact: Known):
        self.value, self.exact, self.is_decay = value, exact, False


_Table = dict[int, _Entry]
_LIVE: contextvars.ContextVar[_Table | None] = contextvars.ContextVar("live", default=None)


@contextlib.contextmanager
def live(values: Iterable[tuple[Any, Known]]) -> Generator[None]:
    """Constructors inside take these values unchecked, and decays among them with what is exact.

    They were checked where they were set: a float32 that is 1 may stand for a decay below it.

    Args:
        values: Arrays, each with what goes with it if it is a decay.
    """
    table = dict(_LIVE.get() or {})
    token = _LIVE.set(table)
    try:
        for value, exact in values:
            enter(value, exact)
        yield
    finally:
        _LIVE.reset(token)


def enter(value: Any, exact: Known) -> None:
    """Add a value to the innermost `live`; without one nothing happens."""
    table = _LIVE.get()
    if table is not None:
        table[id(value)] = _Entry(value, exact)


def is_live(value: Any) -> bool:
    """Whether a value comes from a state and was checked there."""
    table = _LIVE.get()
    return table is not None and id(value) in table


def exact_of(value: Any) -> Exact | None:
    """What goes with a decay, if it is known exactly; that it is one is kept in mind."""
    entry = (_LIVE.get() or {}).get(id(value))
    if entry is None:
        return None
    entry.is_decay = True
    return entry.exact() if callable(entry.exact) else entry.exact


def taken_as_decays(values: list[Any]) -> list[bool]:
    """For each of some values of the innermost `live` whether it was."""
    table = _LIVE.get() or {}
    return [id(value) in table and table[id(value)].is_decay for value in values]
