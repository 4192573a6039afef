"""Where the gradients of a scaled loss must not go before the scale is divided out."""

from collections.abc import Sequence
from typing import Any

from .wrap import every_body


def _unscaling_in(tx: Any) -> str | None:
    """The name of what divides by a loss scale in a transformation, if anything does."""
    return next((body.name for body in every_body(tx.update.body) if body.unscales), None)


def refuse_unscaling(owner: str, tx: Any) -> None:
    """Raise if a transformation that sits out bad steps is around a loss scale.

    Raises:
        ValueError: If it is: the scale goes by the very gradients that it would not see.
    """
    if name := _unscaling_in(tx):
        raise ValueError(
            f"{owner}: there is a `{name}` inside, which has to see gradients that are not finite "
            f"to find its scale. Put the {owner} into it: {name}({owner}(...))."
        )


def check_order(owner: str, parts: Sequence[Any]) -> None:
    """Raise if something that goes by the size of gradients stands before a loss scale.

    Raises:
        ValueError: If it does: what it sees are the gradients of the scaled loss.
    """
    first = None
    for part in parts:
        if first and (name := _unscaling_in(part)):
            raise ValueError(
                f"{owner}: `{first}` stands before `{name}`, so that it sees the gradients of the "
                f"scaled loss. Put it inside: {name}(chain({first}(...), ...))."
            )
        first = first or next((b.name for b in every_body(part.update.body) if b.absolute), None)
