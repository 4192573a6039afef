"""States of Optax taken over, and given back, without Optax: its states are named tuples."""

from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from .._core.leaves import is_abstract
from .._core.transformation import as_transformation
from ._carry import check_choices, check_differences, settled
from ._names import is_key, named
from ._optax_meaning import check_meaning
from ._optax_nodes import placed
from ._optax_walk import Match, Walk
from ._report import Report
from ._start import Fresh


def from_optax(
    tx: Any,
    params: Any,
    state: Any,
    *,
    missing: Literal["raise", "init"] = "raise",
    extra: Literal["raise", "drop"] = "raise",
    counts: Literal["start", "saved"] | int = "saved",
) -> tuple[Any, Report]:
    """Make a state of the one that Optax's transformation of the same meaning has.

    The two are walked side by side: chains and masks do not matter, and what has a state is
    brought together by its class, in order where there are several. A class does not say which
    rule made it (Adam's and Yogi's are the same), so `tx` must be what the run had. Arrays go into
    the dtypes of gradtx's state, so that moments of bfloat16 parameters become float32. What is
    kept in another way is computed:

    - Factored moments, and those of SM3, get back the axes of length 1 that Optax takes away.
    - Mechanic's sum of updates is (params - x0) / sum(s), and what schedule-free wrappers keep for
      narrow parameters is (params - (1 - b1) z) / b1.
    - A flag for the first step, of optimistic gradients, becomes a count.
    - Counts that Optax has not, as where a schedule takes the place of a constant, go on at the
      step where the others are.

    States that mean something else are refused: those of Adan, ACProp, GaLore on the smaller side,
    AMSGrad with the bias of nu corrected, and Adafactor with momentum. Where the state means the
    same but the rule differs, the report has a hint.

    Args:
        tx: The transformation, of gradtx.
        params: The parameters as they are now.
        state: The state, of Optax.
        missing: What to do about arrays that Optax has not: an error, or start them as `tx.init`
            does.
        extra: What to do about arrays of Optax that have no place: an error, or drop them.
        counts: What counts of steps start from that Optax has not: the number that all others have
            ("saved"), 0 ("start"), or this number.

    Returns:
        The state, and a `Report` of what was taken, started and dropped. Arrays that fit as they
        are are not copied.

    Raises:
        ValueError: If the states do not fit and no argument says what to do, or if what is in them
            means something else.
    """
    tx = as_transformation(tx, "from_optax")
    hints = check_meaning("from_optax", tx)
    fresh = Fresh("from_optax", tx, params)
    places, _ = placed(state)
    walk = Walk("from_optax", params)
    walk.start(fresh.tree, places)
    values = {match.entry.name: match.there(match.place.value) for match in walk.matches}
    for count, flag in walk.flags:
        if is_abstract(flag.value):
            values[count.name] = count.value
            continue
        steps = 0 if bool(flag.value) else _steps(walk.matches, counts)
        values[count.name] = jnp.full_like(count.value, steps)
        hints.append(f"{count.name} is set to {steps}: Optax says whether it is the first.")
    return settled(fresh, values, walk.dropped, (missing, extra, counts), hints, {})


def _steps(matches: list[Match], counts: Any) -> int:
    """How many steps were done, at least 1, as far as somebody knows."""
    if not isinstance(counts, str):
        return int(counts)
    known = [int(np.max(match.place.value)) for match in matches if match.entry.counts_steps]
    return max([1, *known])


def to_optax(
    tx: Any,
    state: Any,
    like: Any,
    params: Any = None,
    *,
    missing: Literal["raise", "init"] = "raise",
    extra: Literal["raise", "drop"] = "raise",
) -> tuple[Any, Report]:
    """Fill a state of Optax from one of gradtx: the way back of `from_optax`.

    Args:
        tx: The transformation, of gradtx.
        state: Its state.
        like: A state of Optax's transformation of the same meaning, such as its `init(params)`.
        params: The parameters as they are now, for Mechanic and other formulas that need them.
        missing: What to do about arrays of `like` that gradtx has not: an error, or leave them as
            they are.
        extra: What to do about arrays of gradtx that have no place in Optax: an error, or drop
            them.

    Returns:
        A state like `like`, in its dtypes, and a `Report`: by gradtx's names for what was taken or
        has no place, by where they stand in `like` for what stays.

    Raises:
        ValueError: As for `from_optax`, and if `params` are needed but not given.
    """
    tx = as_transformation(tx, "to_optax")
    check_choices("to_optax", missing, extra)
    hints = check_meaning("to_optax", tx)
    places, treedef = placed(like)
    walk = Walk("to_optax", params)
    walk.start(named("to_optax", tx.update.body, state), places)
    filled = [place.value for place in jax.tree.leaves(places)]
    cast: dict[str, tuple[str, str]] = {}
    for entry, flag in walk.flags:
        filled[flag.index] = entry.value == 0
    for match in walk.matches:
        value = match.back(match.entry.value)
        if value is not None:
            filled[match.place.index] = _fitted(match, value, cast)
    report = Report(
        restored=tuple(match.entry.name for match in walk.matches),
        cast=cast,
        missing=tuple(walk.dropped),
        extra=tuple(entry.name for entry in walk.lacking),
        hints=tuple(hints),
    )
    check_differences("to_optax", report, missing, extra)
    return treedef.unflatten(filled), report


def _fitted(match: Match, value: Any, cast: dict[str, tuple[str, str]]) -> Any:
    """An array in the shape and dtype that Optax has."""
    there = match.place.value
    if np.shape(there) != value.shape:
        raise ValueError(
            f"to_optax: {match.entry.name} has shape {value.shape}, but its place in Optax's "
            f"state, {match.place.path}, has {np.shape(there)}. Is `like` that of other parameters?"
        )
    if is_key(value) or not hasattr(there, "dtype") or there.dtype == value.dtype:
        return value
    cast[match.entry.name] = (str(value.dtype), str(there.dtype))
    if is_abstract(value):
        return jax.ShapeDtypeStruct(value.shape, there.dtype)
    return value.astype(there.dtype)
