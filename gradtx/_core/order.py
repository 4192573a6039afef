"""What must not stand behind an accumulation in a chain."""

from collections.abc import Sequence
from typing import Any

from .body import Body
from .lifted import Lifted
from .rule import schedule_of
from .wrap import every_body


def check_behind_accumulation(owner: str, parts: Sequence[Any]) -> None:
    """Raise if something that goes by steps stands where it is run at every micro-step.

    What has no state and makes nothing of nothing may stand there: a scale, a clip.

    Raises:
        ValueError: If something does.
    """
    gathers = None
    for part in parts:
        inside = list(every_body(part.update.body))
        for body in inside if gathers else ():
            if why := _done_at_every_call(body):
                label = part.update.label
                who = "it" if label == body.name else f"its `{body.name}`"
                raise ValueError(
                    f"{owner}: `{label}` stands behind `{gathers}`, so that {who} would {why} at "
                    f"every micro-step, on updates of zero at most of them. Put it inside: "
                    f"{gathers}(chain(..., {label}(...)), every)."
                )
        found = (body.name for body in inside if getattr(body, "gathers", False))
        gathers = gathers or next(found, None)


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
