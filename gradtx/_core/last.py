"""What must stand last in a chain, because it goes by the parameters that come of the updates."""

from collections.abc import Sequence
from typing import Any

from . import composite
from .body import Body
from .wrap import Around, every_body


def check_last(owner: str, parts: Sequence[Any]) -> None:
    """Raise if something that must stand last has parts behind it that change its updates.

    Raises:
        ValueError: If it does; the message says how they are nested instead.
    """
    bodies = [part.update.body for part in parts]
    for i, body in enumerate(bodies):
        first = next((b for b in every_body(body) if b.last_because), None)
        behind = next((k for k in range(i + 1, len(bodies)) if not _passes(bodies[k])), None)
        if first is None or behind is None:
            continue
        name, label = first.name, parts[behind].update.label
        call = f"{label}(...)" if label.isidentifier() else label
        raise ValueError(
            f"{owner}: `{name}` must stand last, since {first.last_because}, but `{label}` behind "
            f"it changes the updates. Put that inside: {name}(chain(..., {call}), ...)."
        )


def _passes(body: Body) -> bool:
    """Whether updates leave a body as they came."""
    if isinstance(body, (composite.Sequence, Around)):
        return all(map(_passes, body.insides))
    return body.passes or (body.passes_as_inside and all(map(_passes, body.insides)))
