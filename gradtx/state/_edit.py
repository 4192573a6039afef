"""A part of a state started anew, and its counts of steps set."""

import operator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._core.leaves import is_traced
from .._core.paths import Pattern, check_known, check_pattern, matches
from .._core.transformation import as_transformation
from ._names import Entry, entries_of, named
from ._report import some
from ._start import Fresh


def reset(tx: Any, state: Any, params: Any, where: Pattern = "*", *, counts: bool = False) -> Any:
    """Start the state of some parameters anew, as `tx.init` does.

    What belongs to a parameter of which the path matches (moments, averages, copies) becomes what
    `tx.init(params)` has there; everything else stays, the counts and numbers of the whole tree
    included. So corrections of bias go on as if the moments were old: Adam's moments that start
    from 0 at a high count make first updates that are (1 - b1) / sqrt(1 - b2) times as large, 3.2
    times at the defaults, and larger ones where gradients fall. If that matters, put those
    parameters into a group of their own, which has a count of its own, and reset all of it.

    Args:
        tx: The transformation.
        state: Its state.
        params: The parameters as they are now.
        where: Pattern of the paths of parameters, as for `gradtx.matching`: "layer3/*".
        counts: Whether counts, too, start anew; then all parameters that have state must match.

    Returns:
        The state.

    Raises:
        ValueError: If the pattern matches no path, or `counts` is given and some parameters do not
            match it.
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
    if counts:
        if others:
            raise ValueError(
                "reset: counts are those of all parameters, so counts=True needs a pattern that "
                f"matches all that have state, but {some(sorted(others))} do not match."
            )
        chosen |= {e.name for e in entries_of(tree) if e.field and e.field.kind == "count"}
    unknown = chosen - set(fresh.entries)
    if unknown:
        raise ValueError(
            f"reset: init(params) makes no {some(sorted(unknown))}, which the state has. Was the "
            "state made by init() of other parameters?"
        )
    made = fresh.made(chosen)
    return _mapped(tree, lambda e: made.get(e.name, e.value))


def at_step(tx: Any, state: Any, n: Any, *, where: Pattern | None = None) -> Any:
    """Set the counts of steps, so that schedules and corrections of bias go on at a step.

    Every count of steps in the state becomes n, however nested: those of rules, of schedules, of
    hyperparameters in the state, and of accumulation (`gradient_step`). Schedules then continue at
    n, 0 being the first, and corrections of bias are those of n steps.

    Nothing else changes. Moments, averages and keys stay; so do counts of other things (skipped
    steps, micro-steps since the last step, steps since slow parameters were met), products of
    decays as NAdam has, and whatever depends on the gradients that there would have been. To move
    the schedules alone, name them: where="scale_by_learning_rate/*". A fresh state of Adam set to
    a high count has moments of 0 that are no longer corrected for it: see `reset`.

    Args:
        tx: The transformation.
        state: Its state.
        n: Steps that count as done, an integer or an array of one: the next one is step n, 0 being
            the first.
        where: Pattern of the names, as `export` has them, of the counts to set; None for all.

    Returns:
        The state.

    Raises:
        ValueError: If nothing in the state counts steps, the pattern matches none, n is below 0,
            or the counts differ, as outside and inside of accumulation: then say by `where` which
            are meant.
    """
    tx = as_transformation(tx, "at_step")
    tree = named("at_step", tx.update.body, state)
    counts = {entry.name: entry for entry in entries_of(tree) if entry.counts_steps}
    if not counts:
        raise ValueError("at_step: nothing in the state counts steps.")
    if where is not None:
        check_pattern("at_step: `where`", where)
        check_known("at_step", where, list(counts))
        counts = {k: e for k, e in counts.items() if matches(where, k, e.value, "at_step")}
    _check_in_step(counts)
    n = _checked(n)
    return _mapped(tree, lambda e: jnp.full_like(e.value, n) if e.name in counts else e.value)


def _check_in_step(counts: dict[str, Entry]) -> None:
    """Raise if counts are known to differ: there is no one step that they are at."""
    if any(is_traced(entry.value) or entry.value.ndim for entry in counts.values()):
        return
    known = {name: int(entry.value) for name, entry in counts.items()}
    if len(set(known.values())) > 1:
        shown = ", ".join(f"{name} = {value}" for name, value in known.items())
        raise ValueError(
            f"at_step: the counts differ, so no one number fits all of them: {shown}. Set those "
            "that are meant by `where`, one after the other."
        )


def _checked(n: Any) -> Any:
    if is_traced(n) or (isinstance(n, jax.Array) and n.ndim == 0):
        if not jnp.issubdtype(n.dtype, jnp.integer):
            raise TypeError(f"at_step: `n` must be an integer, but is {n.dtype.name}.")
        return n
    try:
        n = operator.index(n)
    except TypeError:
        raise TypeError(f"at_step: `n` must be an integer, but is {n!r}.") from None
    if not 0 <= n <= np.iinfo(np.int32).max:
        raise ValueError(f"at_step: `n` must be in [0, 2**31), where counts stay, but is {n}.")
    return n


def _mapped(tree: Any, f: Any) -> Any:
    return jax.tree.map(lambda x: f(x) if isinstance(x, Entry) else x, tree)
