"""Numbers that stand beside arrays of parameters: which belong to them and start with them."""

import collections
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np

from .._core.leaves import is_abstract, is_traced
from ._names import Entry
from ._report import some


def of_whole_nodes(entries: Iterable[Entry], chosen: Collection[str]) -> set[str]:
    """The names of the numbers that belong to arrays all of which are chosen.

    These are counts of what is in the arrays, and numbers beside them; clocks of schedules go on.
    """
    found = set()
    for of_params, others in _by_node(entries).values():
        if of_params and all(e.name in chosen for e in of_params):
            found |= {e.name for e in others if _kind(e) in ("count", "scalar") and not e.clock}
    return found


def uncorrected(
    entries: Mapping[str, Entry], anew: Collection[str], values: Mapping[str, Any]
) -> list[str]:
    """Where counts go on beside arrays that start anew and were to be corrected by them.

    Args:
        entries: The arrays of the state by name.
        anew: Names of those that start anew.
        values: What those have that do not.

    Returns:
        A sentence for each such count.
    """
    hints = []
    for of_params, others in _by_node(entries.values()).values():
        started = [e.name for e in of_params if e.name in anew]
        if not started or any(e.of_wrapper for e in of_params):
            continue
        counts = [e for e in others if e.counts_steps and not e.clock and e.name not in anew]
        for count in counts:
            number = _number(values.get(count.name))
            if number != 0:
                at = "" if number is None else f" at {number}"
                shown = ", ".join(some(started))
                hints.append(
                    f"{count.name} goes on{at} beside {shown} that start anew, so these are not "
                    "corrected for their start: Adam's first updates there are 3 to 7 times too "
                    "large. Parameters in a group of their own have a count of their own."
                )
    return hints


def _by_node(entries: Iterable[Entry]) -> dict[tuple[str, ...], tuple[list[Entry], list[Entry]]]:
    """For each body with a state, its arrays of parameters and what else it has."""
    nodes: dict[tuple[str, ...], tuple[list[Entry], list[Entry]]] = collections.defaultdict(
        lambda: ([], [])
    )
    for entry in entries:
        of_all = not entry.field.per_param if entry.field else np.ndim(entry.value) == 0
        nodes[entry.node_key][of_all].append(entry)
    return nodes


def _kind(entry: Entry) -> str:
    if entry.field is not None:
        return entry.field.kind
    return "count" if entry.counts_steps else ""


def _number(value: Any) -> int | None:
    """The value of a count if it is known."""
    if value is None or is_abstract(value) or is_traced(value):
        return None
    return int(np.max(value)) if np.size(value) else 0
