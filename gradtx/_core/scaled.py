"""Where the gradients of a scaled loss must not go before the scale is divided out."""

from collections.abc import Iterator, Sequence
from typing import Any

from .body import Body


def bodies_in(tx: Any) -> Iterator[Body]:
    """The body of a transformation, and those of all that it is made of."""
    body = getattr(getattr(tx, "update", None), "body", None)  # a frozen group has no update
    if body is not None:
        yield body
        for _, child in body.parts():
            yield from bodies_in(child)


def unscaling_in(tx: Any) -> str | None:
    """The name of what divides by a loss scale in a transformation, if anything does."""
    return next((body.name for body in bodies_in(tx) if body.unscales), None)


def refuse_unscaling(owner: str, tx: Any) -> None:
    """Raise if a transformation that sits out bad steps is around a loss scale.

    Raises:
        ValueError: If it is: the scale goes by the very gradients that it would not see.
    """
    if name := unscaling_in(tx):
        raise ValueError(
            f"{owner}: there is a `{name}` inside, which has to see gradients that are not finite "
            f"to find its scale. Put the {owner} into it: {name}({owner}(...))."
        )


def check_order(owner: str, parts: Sequence[Any]) -> None:
    """Raise if something that goes by the size of gradients stands before a loss scale.

    Raises:
        ValueError: If it does: what it sees are the gradients of the scaled loss.
    """
    for index, part in enumerate(parts):
        name = unscaling_in(part)
        before = [body for tx in parts[:index] if name for body in bodies_in(tx) if body.absolute]
        if before:
            first = before[0].name
            raise ValueError(
                f"{owner}: `{first}` stands before `{name}`, so that it sees the gradients of the "
                f"scaled loss. Put it inside: {name}(chain({first}(...), ...))."
            )
