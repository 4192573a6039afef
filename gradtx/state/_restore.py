"""A state made of a saved one by names, with a report of every difference."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from .._core.first import transformation_first
from .._core.leaves import is_abstract, is_traced
from .._core.paths import Pattern, check_known, check_pattern, matches
from .._core.transformation import as_transformation
from ._beside import uncorrected
from ._counts import going_on, saved_steps
from ._export import VERSION_NAME
from ._held import numbers_kept
from ._match import matched, regrouped, renamings, with_other_names
from ._names import Entry, is_key, key_kind
from ._report import Report
from ._restore_checks import as_saved, check_choices, check_report, check_version
from ._start import Fresh


@transformation_first
def restore(
    tx: Any,
    params: Any,
    saved: Mapping[str, Any],
    *,
    missing: Literal["raise", "init"] = "raise",
    extra: Literal["raise", "drop"] = "raise",
    reshaped: Literal["raise", "init"] = "raise",
    cast: bool = False,
    counts: Literal["start", "saved"] | int = "start",
    regroup: bool = False,
    rename: Mapping[str, str] | Callable[[str], str | None] | None = None,
    skip: Pattern | None = None,
    like: Any = None,
) -> tuple[Any, Report]:
    """Make a state of what `export` returned, by names, for a transformation that may differ.

    An array goes where its name is, and nowhere else: transformations may be added, removed or put
    in another order, and so may parameters. What does not fit raises an error that lists all of it,
    unless the arguments say what to do. Nothing is allocated but the arrays that start anew.

    What `flatten` keeps is one vector, which has no paths: its length alone is compared.

    Args:
        tx: The transformation as it is now.
        params: The parameters as they are now. Descriptions will do if nothing starts anew, and
            None if `like` is given.
        saved: {name: array}: what `export` returned, also read back by `numpy.load` or Orbax.
        missing: What to do about arrays of the new state that were not saved: an error, or start
            them as `tx.init` does.
        extra: What to do about saved arrays that have no place: an error, or drop them.
        reshaped: What to do about arrays saved in another shape: an error, or start them as
            `tx.init` does. `resize` keeps the part that is still there.
        cast: Whether arrays that were saved in another dtype are cast.
        counts: What counts of steps start from that are missing, as that of a schedule where there
            was a constant: 0, the number that was saved, or this number. Those beside arrays that
            start anew and are corrected by them, as the moments of Adam, start at 0: they belong
            together. Where saved counts differ, a rule goes on at the count of the rules in the
            same wrapper, or else of the next one around it; a wrapper (`accumulate`, `tunable`) at
            that of the innermost rules in it; of several groups the largest is taken. Counts of
            calls that may have been no steps, as `guard` has, are no counts of steps.
        regroup: Whether a name may differ by labels of groups: where groups were introduced, or
            given up. Counts of several groups must then be the same.
        rename: {saved part: part now} for parts of names between slashes, such as {"layers":
            "blocks"}, or a function from a saved name to the name now, None to drop the array.
        skip: Pattern (see `gradtx.matching`) of the names that shall start anew, such as
            "*/hyperparams/*", whatever was saved.
        like: A state of `tx`, or a description of one, that the new one shall be like, where
            `tx.init(params)` is not: in containers of its own, as the `opt_state` of
            `nnx.Optimizer`; of several runs in one, as `sweep` makes; on other devices. Its
            containers, shapes, dtypes and shardings are taken, and what starts anew is as it is
            there.

    Returns:
        The state, with the structure of `tx.init(params)` or of `like`, and a `Report`. jax.Arrays
        are not copied, unless `like` has them elsewhere; others are put beside their parameters.

    Raises:
        ValueError: If something differs and no argument says what to do, `rename` or `skip` name
            nothing, what was saved is not from `export`, or with counts="saved" there is no saved
            count of steps, or those in one place differ.
        TypeError: If an argument is of another kind.
    """
    check_choices(missing, extra, reshaped, counts)
    tx = as_transformation(tx, "restore")
    fresh = Fresh("restore", tx, params, like)
    saved = as_saved(saved)
    wanted = fresh.entries
    now = with_other_names(saved, rename)
    check_version(saved.get(now.pop(VERSION_NAME, "")))
    skipped = _skipped(skip, wanted, now)
    wanted = {name: entry for name, entry in wanted.items() if name not in skipped}
    now = {name: old for name, old in now.items() if name not in skipped}
    found, used = matched(wanted, now, saved, regroup)
    taken = _Taken(wanted, found, saved)
    lacking = {name: entry for name, entry in wanted.items() if name not in found}
    left = {name: saved[old] for name, old in now.items() if old not in used}
    numbers = _numbers(counts, lacking, taken)
    rest = tuple(name for name in lacking if name not in numbers)
    report = Report(
        restored=tuple(name for name in found if name not in taken.reshaped),
        renamed={name: old for name, old in found.items() if name != old},
        cast=taken.cast,
        missing=rest,
        counted=numbers,
        reshaped=taken.reshaped,
        skipped=tuple(skipped),
        extra=tuple(left),
        hints=(*_hints(lacking, left, taken, counts, regroup), *_hint_of_several(taken, like)),
    )
    check_report(report, str(tx).split("\n")[0], missing, extra, reshaped, cast)
    kept = {name: x for name, x in taken.saved.items() if name not in taken.reshaped}
    consequences = (
        *uncorrected(fresh.entries, {*rest, *taken.reshaped, *skipped}, kept | numbers),
        *numbers_kept(fresh, kept),
    )
    report = dataclasses.replace(report, hints=report.hints + consequences)
    values: dict[str, Any] = {name: taken.value(name) for name in report.restored}
    _part_shared(values)
    values |= {name: jnp.full_like(wanted[name].value, n) for name, n in numbers.items()}
    return fresh.with_values(values), report


class _Taken:
    """The saved arrays that have a place, and how they differ from what is wanted there."""

    def __init__(self, wanted: dict[str, Entry], found: dict[str, str], saved: dict[str, Any]):
        self.wanted = wanted
        self.saved = {name: _read(saved[old], wanted[name].value) for name, old in found.items()}
        self.cast: dict[str, tuple[str, str]] = {}
        self.reshaped: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {}
        for name, value in self.saved.items():
            target = _data(wanted[name].value)
            if value.shape != target.shape:
                self.reshaped[name] = (tuple(value.shape), tuple(target.shape))
            elif value.dtype != target.dtype:
                self.cast[name] = (str(value.dtype), str(target.dtype))

    def value(self, name: str) -> Any:
        """A saved array as the state has it."""
        value, target = self.saved[name], self.wanted[name].value
        if is_abstract(value):
            return jax.ShapeDtypeStruct(target.shape, target.dtype)
        if is_key(target):
            return jax.random.wrap_key_data(jnp.asarray(value), impl=key_kind(target))
        return value if value.dtype == target.dtype else value.astype(target.dtype)


def _data(x: Any) -> Any:
    return jax.eval_shape(jax.random.key_data, x) if is_key(x) else x


def _read(value: Any, target: Any) -> Any:
    """A saved value as an array. `numpy.save` forgets which two bytes are a bfloat16."""
    value = value if hasattr(value, "dtype") else np.asarray(value)
    if value.dtype.kind != "V" or jnp.issubdtype(value.dtype, jnp.inexact):
        return value
    if value.dtype.itemsize == 2:
        return value.view(jnp.bfloat16)
    known = np.dtype(target.dtype)
    return value.view(known) if value.dtype.itemsize == known.itemsize else value


def _skipped(skip: Any, wanted: dict[str, Entry], now: dict[str, str]) -> list[str]:
    if skip is None:
        return []
    check_pattern("restore: `skip`", skip)
    check_known("restore: `skip`", skip, list(dict.fromkeys([*wanted, *now])))
    return [name for name, entry in wanted.items() if matches(skip, name, entry.value, "restore")]


def _numbers(counts: Any, lacking: dict[str, Entry], taken: _Taken) -> dict[str, int]:
    """What the missing counts of steps start from, for those that do not start at 0."""
    if counts == "start":
        return {}
    steps = going_on(lacking, [taken.wanted[name] for name in taken.reshaped])
    if counts == "saved":
        known = _saved_counts(taken)
        if steps and not known and any(map(is_traced, taken.saved.values())):
            raise ValueError(
                'restore: counts="saved" needs counts with a value, but they are traced, as under '
                "jax.jit and jax.vmap: give the number itself, counts=n."
            )
        return saved_steps(steps, known)
    return dict.fromkeys(steps, int(counts))


def _saved_counts(taken: _Taken) -> list[tuple[Entry, int]]:
    return [
        (taken.wanted[name], int(np.max(value)))
        for name, value in taken.saved.items()
        if taken.wanted[name].counts_steps
        and not (is_abstract(value) or is_traced(value))
        and np.size(value)
        and np.min(value) == np.max(value)
    ]


def _part_shared(values: dict[str, Any]) -> None:
    """Give each array a buffer of its own, where one was saved and several are wanted."""
    seen: set[int] = set()
    for name, value in values.items():
        if id(value) in seen:
            values[name] = jnp.array(value, copy=True)
        seen.add(id(value))


def _hints(
    lacking: dict[str, Entry], left: dict[str, Any], taken: _Taken, counts: Any, regroup: bool
) -> tuple[str, ...]:
    hints = []
    if lacking and left:
        number = 0 if regroup else regrouped(lacking, list(left))
        if number:
            hints.append(
                f"{number} of the missing arrays have the names of saved ones but for labels of "
                "groups: regroup=True takes these."
            )
        elif suggested := renamings(lacking, left):
            several = " Which of several it was, #1 or #2, is for you to say."
            hints.append(
                f"Was something renamed? rename={suggested!r} would match them."
                + several * any("#" in part for part in (*suggested, *suggested.values()))
            )
    if counts == "start":
        with contextlib.suppress(ValueError):  # where there is no such number, nothing to say
            for name, number in _numbers("saved", lacking, taken).items():
                if number:
                    hints.append(
                        f'counts="saved" starts {name} at {number}, where the saved counts are.'
                    )
                    break
    return tuple(hints)


def _hint_of_several(taken: _Taken, like: Any) -> Iterator[str]:
    """Whether what was saved is the state of several runs in one."""
    lengths = {was[0] for was, now in taken.reshaped.values() if was[1:] == now}
    all_longer = all(was[1:] == now for was, now in taken.reshaped.values())
    if like is None and all_longer and len(lengths) == 1:
        yield (
            f"Is it the state of {lengths.pop()} runs in one, as `sweep` makes it? Give one of its "
            "kind: restore(..., like=states)."
        )
