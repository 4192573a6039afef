"""What taking over a state from another library ends with: differences, the state, the report."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ._names import Entry, is_key
from ._report import Report, some
from ._restore import restore
from ._start import Fresh


def settled(
    fresh: Fresh,
    values: Mapping[str, Any],
    dropped: Iterable[str],
    choices: tuple[Any, Any, Any],
    hints: Iterable[str],
    sources: Mapping[str, str],
) -> tuple[Any, Report]:
    """The state with these arrays, the rest as `choices` say, and the report.

    Args:
        fresh: The state as `init` makes it.
        values: Arrays by gradtx's names.
        dropped: Arrays that have no place, by names of the other library.
        choices: `missing`, `extra` and `counts` of the caller, as for `restore`.
        hints: Sentences for the report.
        sources: The names that arrays had, for the report.

    Raises:
        ValueError: If something differs and no choice says what to do.
    """
    owner, (missing, extra, counts) = fresh.owner, choices
    dropped, hints = tuple(dropped), tuple(hints)
    check_choices(owner, missing, extra)
    for name, value in values.items():
        check_shape(owner, fresh.entries[name], value, sources.get(name, ""))
    lacking = tuple(
        name for name, x in fresh.entries.items() if name not in values and not x.counts_steps
    )
    if missing == "raise" and lacking:  # before anything is made
        known = Report(missing=lacking, extra=dropped, hints=hints)
        check_differences(owner, known, missing, extra)
    try:
        state, report = restore(
            fresh.tx, fresh.params, values, missing="init", cast=True, counts=counts
        )
    except (ValueError, TypeError) as error:
        if type(error) not in (ValueError, TypeError):
            raise  # one of JAX
        raise type(error)(str(error).replace("restore:", f"{owner}:", 1)) from None
    hints = (*hints, *report.hints)
    report = dataclasses.replace(report, extra=dropped, hints=hints, renamed=dict(sources))
    check_differences(owner, report, missing, extra)
    return state, report


def check_choices(owner: str, missing: Any, extra: Any) -> None:
    """Raise unless the arguments are among those that there are."""
    for name, given, known in (
        ("missing", missing, ("raise", "init")),
        ("extra", extra, ("raise", "drop")),
    ):
        if given not in known:
            raise ValueError(f"{owner}: `{name}` must be one of {known}, but is {given!r}.")


def check_shape(owner: str, entry: Entry, value: Any, source: str) -> None:
    """Raise if an array has not the shape that it must have."""
    wanted, given = tuple(entry.value.shape), tuple(np.shape(value))
    if wanted == given or is_key(entry.value):
        return
    why = "Were the parameters others?"
    if sorted(wanted) == sorted(given):
        why = "Is it transposed? Say so by `transpose`." if source else "Is it transposed?"
    of = f" ({source})" if source else ""
    raise ValueError(f"{owner}: {entry.name}{of} must have shape {wanted}, but has {given}. {why}")


def check_differences(owner: str, report: Report, missing: str, extra: str) -> None:
    """Raise for what is missing, or has no place, unless that was allowed."""
    problems = []
    if report.missing and missing == "raise":
        problems.append(
            f"{len(report.missing)} arrays are not there: {', '.join(some(report.missing))}. "
            'Give missing="init" to start them as init does.'
        )
    if report.extra and extra == "raise":
        problems.append(
            f"{len(report.extra)} arrays have no place: {', '.join(some(report.extra))}. "
            'Give extra="drop" to drop them.'
        )
    if problems:
        lines = "".join(f"\n  - {line}" for line in (*problems, *report.hints))
        raise ValueError(f"{owner}: the states do not fit:{lines}")
