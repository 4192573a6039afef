"""Names of a saved state brought together with those of a new one, never by position."""

import collections
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ._names import Entry

Rename = Mapping[str, str] | Callable[[str], str | None]

_MOST_LOOKED_AT = 40
_MOST_TRIED = 12


def with_other_names(saved: Mapping[str, Any], rename: Rename | None) -> dict[str, str]:
    """The saved names by what they are called now; those that a function drops are not there.

    Args:
        saved: The saved arrays by name.
        rename: {run of names between slashes: another}, or a function name -> name or None.

    Raises:
        ValueError: If a part to be renamed is nowhere, or two arrays get one name.
    """
    now: dict[str, str] = {}
    for name, new in _renamings(list(saved), rename):
        if new is None:
            continue
        if new in now:
            raise ValueError(
                f"restore: `rename` gives {now[new]!r} and {name!r} the same name, {new!r}."
            )
        now[new] = name
    return now


def _renamings(names: list[str], rename: Rename | None) -> list[tuple[str, str | None]]:
    if rename is None:
        return [(name, name) for name in names]
    if not isinstance(rename, Mapping):
        return [(name, rename(name)) for name in names]
    for part in rename:
        if not any(_part(part).search(name) for name in names):
            raise ValueError(
                f"restore: `rename` has {part!r}, but no saved name has it between slashes. They "
                f"look like {max(names)!r}."
            )
    return [(name, _renamed(name, rename)) for name in names]


def _renamed(name: str, rename: Mapping[str, str]) -> str:
    """A name with its parts renamed all at once, so that two can be exchanged."""
    parts = sorted(rename, key=len, reverse=True)
    pattern = "|".join(re.escape(part) for part in parts)
    renamed = re.sub(rf"(?<![^/])(?:{pattern})(?![^/])", lambda m: rename[m.group()], name)
    return "/".join(filter(None, renamed.split("/")))


def _part(part: str) -> re.Pattern:
    return re.compile(rf"(?<![^/]){re.escape(part)}(?![^/])")


def matched(
    wanted: Mapping[str, Entry], now: Mapping[str, str], saved: Mapping[str, Any], regroup: bool
) -> tuple[dict[str, str], set[str]]:
    """{name: saved name} of the arrays that are there, and all saved names that went into it.

    Args:
        wanted: The arrays of the new state by name.
        now: The saved names by what they are called now.
        saved: The saved arrays by their saved names.
        regroup: Whether names may differ by labels in front.
    """
    found = {name: now[name] for name in wanted if name in now}
    used = set(found.values())
    if not regroup:
        return found, used
    rest = [name for name in now if now[name] not in used]
    by_tail = _by_tail(rest, {wanted[n].tail for n in wanted})
    for name, entry in wanted.items():
        there = [now[other] for other in by_tail.get(entry.tail, ())]
        if name not in found and there and _all_equal([saved[other] for other in there]):
            found[name] = there[0]
            used |= set(there)
    return found, used


def _by_tail(names: list[str], tails: set[str]) -> dict[str, list[str]]:
    """The names by those of their ends that are names without labels."""
    found: dict[str, list[str]] = collections.defaultdict(list)
    for name in names:
        parts = name.split("/")
        for first in range(len(parts)):
            tail = "/".join(parts[first:])
            if tail in tails:
                found[tail].append(name)
                break
    return found


def _all_equal(arrays: list) -> bool:
    """Whether arrays of several groups can be that of one: counts of groups in step."""
    return len(arrays) == 1 or all(np.array_equal(arrays[0], other) for other in arrays[1:])


def regrouped(missing: Mapping[str, Entry], extra: list[str]) -> int:
    """How many of the missing arrays `regroup` would find."""
    by_tail = _by_tail(extra, {entry.tail for entry in missing.values()})
    return sum(entry.tail in by_tail for entry in missing.values())


def renamings(missing: Mapping[str, Entry], extra: Mapping[str, Any]) -> dict[str, str]:
    """Parts of names that, renamed, would make extra arrays missing ones: {saved: wanted}."""
    suggested: dict[str, str] = {}
    left, rest = dict(missing), dict(extra)
    while left and rest and len(suggested) < 3:
        candidates = collections.Counter(
            pair
            for name in list(left)[:_MOST_LOOKED_AT]
            for other in list(rest)[: 10 * _MOST_LOOKED_AT]
            if (pair := _difference(left[name], name, other, rest[other])) is not None
        )
        if not candidates:
            break
        likely = [pair for pair, _ in candidates.most_common(_MOST_TRIED)]
        hits = {pair: _hits(pair, left, rest) for pair in likely}
        best = max(likely, key=lambda pair: (hits[pair], len(pair[0])))
        rivals = [p for p in likely if p != best and hits[p] == hits[best] and _compete(p, best)]
        if rivals or not hits[best]:
            break  # several layers alike: any guess may be wrong
        suggested[best[0]] = best[1]
        renamed = {_renamed(other, dict([best])): other for other in rest}
        for name in [name for name in left if name in renamed]:
            del left[name], rest[renamed[name]]
    return suggested


def _compete(one: tuple[str, str], other: tuple[str, str]) -> bool:
    """Whether two renamings have another name for the same part, numbers of a rule aside."""
    numbered = any("#" in part for part in (*one, *other))
    return not numbered and (one[0] == other[0]) != (one[1] == other[1])


def _hits(pair: tuple[str, str], missing: Mapping[str, Entry], extra: Mapping[str, Any]) -> int:
    return sum(_renamed(other, dict([pair])) in missing for other in extra)


def _difference(entry: Entry, name: str, other: str, value: Any) -> tuple[str, str] | None:
    """The one part in which two names differ, (saved, wanted), if they may be one array."""
    if np.shape(value) != np.shape(entry.value):
        return None
    wanted, saved = name.split("/"), other.split("/")
    first = 0
    while first < min(len(wanted), len(saved)) and wanted[first] == saved[first]:
        first += 1
    last = 0
    most = min(len(wanted), len(saved)) - first
    while last < most and wanted[-1 - last] == saved[-1 - last]:
        last += 1
    ours, theirs = wanted[first : len(wanted) - last], saved[first : len(saved) - last]
    node = len(entry.labels)
    numbered = first == node and last == len(wanted) - node - 1 and len(theirs) == 1
    if numbered and ours[0].split("#")[0] == theirs[0].split("#")[0]:
        field = wanted[node + 1]  # a field may have the name of its rule
        return f"{theirs[0]}/{field}", f"{ours[0]}/{field}"
    if first < node + 2 or not (ours and theirs):
        return None  # another rule or field is another thing
    return "/".join(theirs), "/".join(ours)
