"""What counts of steps start from that were not saved: those nearest to them that were."""

import collections
from collections.abc import Iterable, Mapping

from ._names import Entry
from ._report import some


def going_on(lacking: Mapping[str, Entry], anew: Iterable[Entry]) -> dict[str, Entry]:
    """The missing counts of steps that may start at another step than 0.

    Args:
        lacking: The arrays of the new state that were not saved, by name.
        anew: Other arrays of it that start anew.
    """
    nodes = {e.node_key for e in (*lacking.values(), *anew) if not e.counts_steps}
    return {
        name: entry
        for name, entry in lacking.items()
        if entry.counts_steps and (entry.clock or entry.node_key not in nodes)
    }


def saved_steps(wanted: Mapping[str, Entry], known: Iterable[tuple[Entry, int]]) -> dict[str, int]:
    """{name: number of steps that a missing count starts from}, by the counts that were saved.

    Args:
        wanted: The missing counts by name.
        known: The counts of steps that were saved, with their numbers.

    Raises:
        ValueError: If there are none, or counts in one place differ.
    """
    known = list(known)
    if wanted and not known:
        raise ValueError(
            'restore: counts="saved" needs a count of steps that was saved, but there is none. '
            f"Give the number for {some(wanted)} itself, counts=n."
        )
    return {name: _steps_of(name, entry, known) for name, entry in wanted.items()}


def _steps_of(name: str, entry: Entry, known: list[tuple[Entry, int]]) -> int:
    shared = [_shared(entry, other) for other, _ in known]
    near = [pair for pair, length in zip(known, shared, strict=True) if length == max(shared)]
    by_group: dict[tuple, list[tuple[Entry, int]]] = collections.defaultdict(list)
    for other, number in near:
        by_group[tuple(place for place in other.scope if place[1])].append((other, number))
    # Of several groups the largest: one of them may have been started anew.
    return max(_steps_in(name, entry, pairs) for pairs in by_group.values())


def _steps_in(name: str, entry: Entry, pairs: list[tuple[Entry, int]]) -> int:
    """The number of steps in one group: inside for a wrapper, in the same place for a rule."""
    depths = [len(other.scope) for other, _ in pairs]
    depth = max(depths) if entry.of_wrapper else min(depths)
    found = {other.name: n for other, n in pairs if len(other.scope) == depth}
    if len(set(found.values())) > 1:
        raise ValueError(
            f'restore: counts="saved" needs one number for {name}, but the saved counts nearest to '
            f"it differ: {found}. Give the number itself, counts=n."
        )
    return next(iter(found.values()))


def _shared(one: Entry, other: Entry) -> int:
    """In how many wrappers and groups both stand."""
    length = 0
    for a, b in zip(one.scope, other.scope, strict=False):
        if a != b:
            break
        length += 1
    return length
