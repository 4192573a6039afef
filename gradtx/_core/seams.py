"""What a chain refuses: parts that would silently not do in it what they are for."""

from collections.abc import Iterator, Sequence
from typing import Any

from .body import Body
from .composite import Sequence as Chained
from .describe import value_key
from .lifted import Lifted
from .rule import schedule_of
from .wrap import Around, every_body


def check_seams(owner: str, parts: Sequence[Any]) -> None:
    """Raise if one part of a chain cannot stand where it does for the sake of another.

    Raises:
        ValueError: If something that goes by steps stands behind an accumulation, something that
            must stand last does not, or two parts draw the same random numbers.
    """
    _check_behind_accumulation(owner, parts)
    _check_last(owner, parts)
    _check_draws(owner, parts)


def _check_behind_accumulation(owner: str, parts: Sequence[Any]) -> None:
    """Raise if something that goes by steps stands where it is run at every micro-step.

    What has no state and makes nothing of nothing may stand there: a scale, a clip. An accumulation
    in one of several groups is not looked at: what stands behind may be for other leaves.

    Raises:
        ValueError: If something does.
    """
    gathers = None
    for part in parts:
        for body in every_body(part.update.body) if gathers else ():
            if why := _done_at_every_call(body):
                label = part.update.label
                who = "it" if label == body.name else f"its `{body.name}`"
                raise ValueError(
                    f"{owner}: `{label}` stands behind `{gathers}`, so that {who} would {why} at "
                    f"every micro-step, on updates of zero at most of them. Put it inside: "
                    f"{gathers}(chain(..., {label}(...)), every)."
                )
        found = (body.name for body in _of_all_leaves(part.update.body) if body.gathers)
        gathers = gathers or next(found, None)


def _of_all_leaves(body: Body) -> Iterator[Body]:
    """A body and those that it is made of, but for those inside of what divides the leaves."""
    yield body
    if type(body).groups_of is Body.groups_of:
        for inside in body.insides:
            yield from _of_all_leaves(inside)


def _done_at_every_call(body: Body) -> str | None:
    """What a body does whatever comes in that belongs to a step, if anything."""
    if not isinstance(body, Lifted):
        return None
    if "weight_decay" in body.numbers:
        return "pull the parameters"
    if body.rule.random:
        return "draw noise"
    if body.rule.per_param_fields:
        return "move its state"
    if any(schedule_of(value) is not None for value in body.numbers.values()):
        return "advance its schedule"
    return None


def _check_last(owner: str, parts: Sequence[Any]) -> None:
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
    if isinstance(body, (Chained, Around)):
        return all(map(_passes, body.insides))
    return body.passes or (body.passes_as_inside and all(map(_passes, body.insides)))


def _check_draws(owner: str, parts: Sequence[Any]) -> None:
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
