"""A part of a state started anew, and its counts of steps set."""

import collections
import operator
import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._core.containers import key_paths, plain
from .._core.explain import groups_in
from .._core.first import transformation_first
from .._core.flow import Flow
from .._core.leaves import flatten, is_traced
from .._core.paths import Pattern, check_known, check_pattern, matches, path_of
from .._core.transformation import as_transformation
from ._beside import of_whole_nodes, uncorrected
from ._names import Entry, Parameters, entries_of, named
from ._report import some
from ._start import Fresh, described

_InGroup = tuple[tuple[str, ...], bool]


@transformation_first
def reset(
    tx: Any, state: Any, params: Any, where: Pattern = "*", *, counts: bool | None = None
) -> Any:
    """Start the state of some parameters anew, as `tx.init` does.

    What belongs to a parameter of which the path matches (moments, averages, copies) becomes what
    `tx.init(params)` has there. Where that is all that a rule or wrapper keeps, so do the numbers
    beside it, such as the count that corrects the moments; a schedule goes on, unless it is asked
    at that very count. All else stays.

    Where a rule has other parameters, too, its one count goes on, and corrects their moments alone:
    the first update of Adam's new moments, which start from 0, is (1 - b1) / sqrt(1 - b2) times as
    large as it should be, 3.2 times at the defaults, the 12th 6.6 times, the 40th 5 times. There
    is a warning. Put such parameters into a group of their own, which has a count of its own.

    In the middle of an accumulation, what was gathered for these parameters is gone: their next
    update is smaller.

    Args:
        tx: The transformation.
        state: Its state.
        params: The parameters as they are now.
        where: Pattern of the paths of parameters, as for `gradtx.matching`: "layer3/*".
        counts: Which counts start anew. None for those above; False for none, without a warning.
            True for every count, and other number of a rule that belongs to its moments, that is
            for matching parameters alone, schedules included: a count beside moments is for the
            parameters that have them, that of a schedule for all parameters of its group, or of
            the whole tree if it stands in none.

    Returns:
        The state.

    Raises:
        TypeError: If an argument is missing, or in the place of another one.
        ValueError: If the pattern matches no path, `counts` is True and no count is for matching
            parameters alone, or the state is not one of `tx`.

    Warns:
        UserWarning: If `counts` is None and a count that is not 0 goes on beside new moments.
    """
    tx = as_transformation(tx, "reset")
    check_pattern("reset: `where`", where)
    fresh = Fresh("reset", tx, params)
    known = fresh.parameters
    check_known("reset", where, [path for path, _ in known.by_keys.values()])
    tree = named("reset", tx.update.body, state)
    chosen, others = set(), set()
    for entry in entries_of(tree):
        found = known.of(entry)
        if found is not None:
            fits = matches(where, *found, "reset")
            (chosen if fits else others).add(entry.name)
    entries = entries_of(tree)
    if counts is None:
        chosen |= of_whole_nodes(entries, chosen)
        by_name = {entry.name: entry for entry in entries}
        for hint in uncorrected(by_name, chosen, {name: e.value for name, e in by_name.items()}):
            warnings.warn(f"reset: {hint} counts=False says that it is meant.", stacklevel=3)
    elif counts:
        columns = _by_group(tx, params, known, lambda path, p: matches(where, path, p, "reset"))
        chosen |= _counts_of(entries, chosen, others, columns)
    unknown = chosen - set(fresh.entries)
    if unknown:
        raise ValueError(
            f"reset: init(params) makes no {some(sorted(unknown))}, which the state has. Was the "
            "state made by init() of other parameters?"
        )
    made = fresh.made(chosen)
    return _mapped(tree, lambda e: _as_large(made.get(e.name, e.value), e.value))


def _by_group(
    tx: Any, params: Any, known: Parameters, fits: Callable[[str, Any], bool]
) -> list[_InGroup]:
    """For each parameter that moves, the groups that it is in, and whether it fits."""
    params = plain(params)
    flow = Flow("reset", jax.tree.map(described, params), None, {})
    body = tx.update.body
    counted = {path for path, _ in known.by_keys.values()}  # the first of a pair alone
    return [
        (names, fits(path_of(keys), leaf))
        for names, keys, leaf, moves, rests in zip(
            groups_in(body, flow),
            key_paths(params),
            flatten(params)[0],
            flow.trainable,
            body.resting(flow),
            strict=True,
        )
        if moves and not rests and path_of(keys) in counted
    ]


def _counts_of(
    entries: list[Entry], chosen: set[str], others: set[str], columns: list[_InGroup]
) -> set[str]:
    """The names of the counts, and of numbers beside moments, that are for chosen ones alone.

    Args:
        entries: The arrays of the state.
        chosen: Names of the arrays of the parameters that match.
        others: Names of those of the parameters that do not.
        columns: For each parameter the groups that it is in, and whether it matches.
    """
    of_nodes: dict[tuple, list[bool]] = collections.defaultdict(list)
    for entry in entries:
        if entry.name in chosen or entry.name in others:
            of_nodes[(*entry.labels, entry.node)].append(entry.name in chosen)
    groups = {name for names, _ in columns for name in names}
    found, left = set(), []
    for entry in entries:
        beside = of_nodes.get((*entry.labels, entry.node))
        kind = "" if entry.field is None else entry.field.kind
        if kind == "count" or entry.counts_steps:
            at = tuple(label for _, label in entry.scope if label in groups)
            within = [fits for names, fits in columns if names[: len(at)] == at]
            if all(within if beside is None else beside):
                found.add(entry.name)
            else:
                left.append(entry.name)
        elif kind == "scalar" and beside is not None and all(beside):
            found.add(entry.name)
    if left and not found:
        raise ValueError(
            "reset: a count starts anew where all parameters match that it is for, so counts=True "
            "needs a pattern that matches all parameters, or all of a group, but these are for "
            f"others, too: {', '.join(some(left))}."
        )
    return found


@transformation_first
def at_step(tx: Any, state: Any, n: Any, *, where: Pattern | None = None) -> Any:
    """Set the counts of steps, so that schedules and corrections of bias go on at a step.

    Every count of an optimizer's steps becomes n, however nested, and whether or not they were the
    same before: those of rules, of schedules, of hyperparameters in the state, and of accumulation
    (`count`, `gradient_step`). Schedules then continue at n, 0 being the first, and corrections of
    bias are those of n steps. A state without such counts stays as it is.

    Nothing else changes. Moments, averages and keys stay; so do counts of other things: calls that
    may have been no steps (`guard`, `loss_scaling`, `conditionally_mask`), skipped steps,
    micro-steps since the last step, steps since slow parameters were met; products of decays as
    NAdam has; and whatever depends on the gradients that there would have been. To move
    the schedules alone, name them: where="scale_by_learning_rate/*". A fresh state of Adam set to
    a high count has moments of 0 that are no longer corrected for it: see `reset`.

    Args:
        tx: The transformation.
        state: Its state.
        n: Steps that count as done, an integer or an array of one: the next one is step n, 0 being
            the first.
        where: Pattern of the names, as `export` has them, of the counts to set; None for all. A
            count of something else is set if this is its whole name, "conditionally_mask/step".

    Returns:
        The state.

    Raises:
        TypeError: If an argument is missing, or n is no integer.
        ValueError: If the pattern matches no count, or n is below 0.
    """
    tx = as_transformation(tx, "at_step")
    n = _checked(n)
    tree = named("at_step", tx.update.body, state)
    counts = {entry.name: entry for entry in entries_of(tree) if entry.counts_steps}
    if where is not None:
        counts = _meant(where, counts, entries_of(tree))
    return _mapped(tree, lambda e: jnp.full_like(e.value, n) if e.name in counts else e.value)


def _meant(where: Any, counts: dict[str, Entry], entries: list[Entry]) -> dict[str, Entry]:
    """The counts that a pattern matches, and those of other things that it calls by name."""
    check_pattern("at_step: `where`", where)
    others = {e.name: e for e in entries if e.field is not None and e.field.kind == "count"}
    by_name = {part for text in _texts(where) for part in text.split("|")}
    counts = counts | {name: entry for name, entry in others.items() if name in by_name}
    if not counts:
        raise ValueError(
            f"at_step: `where` is {where!r}, but nothing in the state counts an optimizer's steps."
        )
    check_known("at_step", where, list(counts))
    return {k: e for k, e in counts.items() if matches(where, k, e.value, "at_step")}


def _texts(where: Any) -> list[str]:
    """The strings in a pattern."""
    if isinstance(where, tuple):
        return [text for member in where for text in _texts(member)]
    return [where] if isinstance(where, str) else []


def _checked(n: Any) -> Any:
    if is_traced(n) or (isinstance(n, jax.Array) and n.ndim == 0):
        if not jnp.issubdtype(n.dtype, jnp.integer):
            raise TypeError(f"at_step: `n` must be an integer, but is {n.dtype.name}.")
        return n
    try:
        n = operator.index(n)
    except TypeError:
        given = repr(n) if isinstance(n, (float, complex, str)) else f"a {type(n).__name__}"
        raise TypeError(
            f"at_step: `n` must be an integer, but is {given}: at_step(tx, state, n)."
        ) from None
    if not 0 <= n <= np.iinfo(np.int32).max:
        raise ValueError(f"at_step: `n` must be in [0, 2**31), where counts stay, but is {n}.")
    return n


def _as_large(x: Any, there: Any) -> Any:
    """A number for each of several runs in one, where the state is that of such."""
    if np.shape(x) == np.shape(there) or np.ndim(x):
        return x
    return jnp.broadcast_to(x, np.shape(there))


def _mapped(tree: Any, f: Any) -> Any:
    return jax.tree.map(lambda x: f(x) if isinstance(x, Entry) else x, tree)
