"""What must hold of a saved state, of the choices of `restore`, and of what differs in the end."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from .._core.arguments import concrete_number
from .._core.leaves import is_traced
from ._export import VERSION, VERSION_NAME
from ._report import Report, changes, some


def as_saved(saved: Any) -> dict[str, Any]:
    """What was saved as a dict without the version, or an error if `export` did not return it."""
    if not isinstance(saved, Mapping):
        raise TypeError(
            f"restore: `saved` must be a dict of arrays as export(tx, state) returns it, but is a "
            f"{type(saved).__name__}. Is it the state itself? That needs no restore."
        )
    given = {name: saved[name] for name in saved}
    nested = [name for name, x in given.items() if isinstance(x, (Mapping, tuple, list))]
    if nested or not all(isinstance(name, str) for name in given):
        raise TypeError(
            "restore: `saved` must be a flat dict from names to arrays as export(tx, state) "
            f"returns it, but it has {nested or sorted(map(repr, given))[:3]}."
        )
    check_version(given.pop(VERSION_NAME, None))
    return given


def check_version(version: Any) -> None:
    """Raise if the names are those of a newer gradtx."""
    if version is not None and not is_traced(version) and int(np.max(version)) > VERSION:
        raise ValueError(
            f"restore: the names are of version {int(np.max(version))}, but this gradtx knows "
            f"those up to {VERSION}. Was it saved by a newer gradtx?"
        )


def check_choices(missing: Any, extra: Any, reshaped: Any, counts: Any) -> None:
    """Raise unless the arguments are among those that there are."""
    choices = (
        ("missing", missing, ("raise", "init")),
        ("extra", extra, ("raise", "drop")),
        ("reshaped", reshaped, ("raise", "init")),
    )
    for name, given, known in choices:
        if given not in known:
            raise ValueError(f"restore: `{name}` must be one of {known}, but is {given!r}.")
    if isinstance(counts, str):
        if counts not in ("start", "saved"):
            raise ValueError(
                f'restore: `counts` must be "start", "saved" or a number, but is {counts!r}.'
            )
    elif isinstance(counts, bool) or (n := concrete_number(counts)) is None or n != int(n) or n < 0:
        raise ValueError(
            f'restore: `counts` must be "start", "saved" or a number of steps, but is {counts!r}.'
        )


def check_report(
    report: Report, label: str, missing: str, extra: str, reshaped: str, cast: bool
) -> None:
    """Raise for the differences that no argument allows."""
    problems = []
    lacking = (*report.missing, *report.counted)
    if lacking and missing == "raise":
        problems.append(
            f"{len(lacking)} of its arrays were not saved: {', '.join(some(lacking))}. "
            'Give missing="init" to start them as init does.'
        )
    if report.extra and extra == "raise":
        problems.append(
            f"{len(report.extra)} saved arrays have no place in it: "
            f'{", ".join(some(report.extra))}. Give extra="drop" to drop them.'
        )
    if report.reshaped and reshaped == "raise":
        shown = "; ".join(changes(report.reshaped))
        problems.append(
            f"{len(report.reshaped)} have another shape (saved -> wanted): {shown}. Give "
            'reshaped="init" to start them as init does, or restore for the parameters as they '
            "were and use gradtx.state.resize."
        )
    if report.cast and not cast:
        shown = "; ".join(changes(report.cast))
        problems.append(
            f"{len(report.cast)} have another dtype (saved -> wanted): {shown}. Give cast=True to "
            "cast them."
        )
    if problems:
        lines = "".join(f"\n  - {line}" for line in (*problems, *report.hints))
        raise ValueError(f"restore: the saved state does not fit {label}:{lines}")
