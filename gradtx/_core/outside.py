"""Groups of leaves, and what they know of the leaves outside of them."""

import dataclasses
from collections.abc import Callable
from typing import Any

from .flow import Flow
from .reduce import Split


@dataclasses.dataclass(frozen=True, eq=False)
class Outside:
    """The leaves that do not belong to a group, for numbers over all of them.

    Attributes:
        name: Name of the group, or "".
        leaves: (update, split) of those of the other groups.
        entered: The updates of the flow that was divided, as they were then.
        counts: Whether such a number is over all groups if a rule does not say what it wants.
        outer: The same of the group that this one is a part of, if there is one.
        intact: Whether `entered` are the updates that the outer flow had when it was divided.
    """

    name: str
    leaves: list[tuple[Any, Split | None]]
    entered: list
    counts: bool
    outer: "Outside | None"
    intact: bool

    def replaced(self, change: Callable[[list], list]) -> "Outside":
        """The same for a flow of other leaves made of those."""
        outer = None if self.outer is None else self.outer.replaced(change)
        return dataclasses.replace(self, entered=change(self.entered), outer=outer)


def group_of(
    flow: Flow, kept: list[bool], others: list[bool], name: str | None, counts: bool | None
) -> Flow:
    """A flow of some of the leaves that knows of others.

    Args:
        flow: The flow that is divided.
        kept: The leaves of the group.
        others: Those that belong to other groups.
        name: Its name, None for one that is not told from what it is in.
        counts: See `Outside`; None for what holds around it.
    """
    group, outer = flow.restricted(kept), flow.outside
    if counts is None:
        counts = outer is None or outer.counts
    pairs = zip(others, flow.leaves, flow.splits, strict=True)
    group.outside = Outside(
        name or "",
        [(g, split) for other, g, split in pairs if other],
        list(flow.leaves),
        counts,
        outer,
        outer is None or _are(flow, outer.entered),
    )
    group.group = flow.group if name is None else (*flow.group, name)
    return group


def stand_in(inner: Flow, flow: Flow) -> None:
    """Let a flow of the same leaves in another form take the place of a flow."""
    inner.group, inner.reports, inner.taken = flow.group, flow.reports, flow.taken
    if flow.outside is not None:
        now, changed = list(inner.leaves), [None] * len(inner.leaves)
        inner.outside = flow.outside.replaced(lambda column: now if _are(flow, column) else changed)


def changed_before(flow: Flow) -> Flow:
    """The flow that a first state is made for inside of what changes the updates before."""
    if flow.outside is None:
        return flow
    return flow.branch(outside=flow.outside.replaced(lambda column: [None] * len(column)))


def beyond(
    flow: Flow, owner: str, everywhere: bool | None, comes_first: bool
) -> list[tuple[Any, Split | None]]:
    """(update, split) of the leaves of other groups that a number is to be taken over, too.

    Args:
        flow: The flow of a group, or any.
        owner: Who takes the number, for messages.
        everywhere: See `Rule`.
        comes_first: Whether nothing changes the updates before that they do not show yet.

    Raises:
        ValueError: If the updates have been changed since the groups were made, so that those of
            the other groups are not what they would be there.
    """
    level, levels, last = flow.outside, [], 0
    while level is not None and everywhere is not False and (everywhere or level.counts):
        levels.append(level)
        last = len(levels) if level.leaves else last
        level = level.outer
    levels = levels[:last]
    if not levels:
        return []
    intact = comes_first and all(level.intact for level in levels[:-1])
    if not (intact and _are(flow, levels[-1].entered)):
        names = "/".join(level.name for level in reversed(levels) if level.name)
        where = f"in the group {names!r}" if names else "among these leaves"
        raise ValueError(
            f"{owner}: {where} its number is one over all groups, so it must come first there, "
            "before anything that changes the updates of this group alone. Put it before the "
            'groups, or give it scope="group".'
        )
    return [pair for level in levels for pair in level.leaves]


def _are(flow: Flow, column: list) -> bool:
    """Whether the updates are the same objects as these."""
    pairs = zip(flow.leaves, column, flow.trainable, strict=True)
    return all(now is before for now, before, on in pairs if on)
