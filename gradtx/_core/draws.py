"""Which parts of a chain would draw the same random numbers."""

from collections.abc import Iterator, Sequence
from typing import Any

from .body import Body
from .composite import Sequence as Chained
from .describe import value_key
from .lifted import Lifted


def check_draws(owner: str, parts: Sequence[Any]) -> None:
    """Raise if two parts of a chain draw the same numbers for the same leaves.

    Parts that a mask keeps to some of the leaves are not looked at.

    Raises:
        ValueError: If two do.
    """
    seen: dict[Any, str] = {}
    for part in parts:
        for lifted in _drawing(part.update.body):
            key = value_key((lifted.rule, lifted.start))
            if key in seen:
                raise ValueError(
                    f"{owner}: `{seen[key]}` and `{lifted.name}` have the same key, so that they "
                    "draw the same numbers, not independent ones. Give one of them another key."
                )
            seen[key] = lifted.name


def _drawing(body: Body) -> Iterator[Lifted]:
    """The rules in a row that draw numbers for all leaves."""
    if isinstance(body, Chained):
        for inside in body.bodies:
            yield from _drawing(inside)
    elif isinstance(body, Lifted) and body.rule.random and body.where is None:
        yield body
