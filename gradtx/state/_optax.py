"""States of Optax taken over, and given back, without Optax: its states are named tuples."""

from collections.abc import Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from .._core.transformation import as_transformation
from ._carry import check_differences, settled
from ._names import entries_of, named
from ._optax_meaning import check_meaning
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
    """Make a state of one that Optax's transformation of the same meaning has.

    The two are walked side by side: chains and masks do not matter, and what has a state is
    brought together by its class, in order where there are several. Arrays go into the dtypes of
    gradtx's state, so that moments of bfloat16 parameters become float32. What gradtx keeps in
    another way is computed:

    - factored moments, and those of SM3, get back the axes that were taken away;
    - Mechanic's sum of updates, (params - x0) / sum of s, and what a wrapper of schedule-free kind
      keeps for narrow parameters, (params - (1 - b1) z) / b1;
    - the first step of optimistic gradients, a flag there, is a count of 0;
    - counts of steps that Optax has not, as where a schedule takes the place of a constant: `counts`.

    Refused are states whose arrays mean something else: of Adan, ACProp, GaLore with its smaller
    side, AMSGrad with the bias of nu corrected, Adafactor with momentum. Where the state means the
    same but the rule differs, the report has a hint.

    Args:
        tx: The transformation, of gradtx.
        params: The parameters as they are now.
        state: The state, of Optax.
        missing: What to do about arrays that Optax has not: an error, or start them as `tx.init`
            does.
        extra: What to do about arrays of Optax that have no place: an error, or drop them.
        counts: What counts of steps start from that are missing: the number that all others have
            ("saved"), 0 ("start") or this number.

    Returns:
        The state, and a `Report` of what was taken, started and dropped. Arrays that fit as they
        are are not copied.

    Raises:
        ValueError: If the states do not fit and the arguments do not say what to do, or if what is
            in them means something else.
    """
    tx = as_transformation(tx, "from_optax")
    hints = check_meaning("from_optax", tx)
    fresh = Fresh("from_optax", tx, params)
    places, _ = _placed(state)
    walk = Walk("from_optax", params)
    walk.lists(walk.nodes(fresh.tree), walk.nodes(places))
    saved = {m.entry.name: m.there(m.place.value) for m in walk.matches}
    steps = [np.max(x) for m in walk.matches if m.is_count and (x := saved[m.entry.name]).size]
    for entry in walk.started:
        saved[entry.name] = jnp.full_like(entry.value, max(steps, default=1))
        hints.append(f"{entry.name} is set to {int(saved[entry.name])}: Optax has a flag for it.")
    return settled("from_optax", fresh, saved, walk.dropped, missing, extra, counts, hints)


def to_optax(
    tx: Any,
    state: Any,
    like: Any,
    params: Any = None,
    *,
    missing: Literal["raise", "init"] = "raise",
    extra: Literal["raise", "drop"] = "raise",
) -> tuple[Any, Report]:
    """Fill a state of Optax with what a state of gradtx has: the way back of `from_optax`.

    Args:
        tx: The transformation, of gradtx.
        state: Its state.
        like: A state of Optax's transformation of the same meaning, such as its `init(params)`.
        params: The parameters as they are now, if a formula needs them (Mechanic).
        missing: What to do about arrays of `like` that gradtx has not: an error, or leave them as
            they are.
        extra: What to do about arrays of gradtx that have no place in Optax: an error, or drop
            them.

    Returns:
        A state like `like`, in its dtypes, and a `Report`, by gradtx's names for what was taken or
        has no place, by Optax's for what stays.

    Raises:
        ValueError: As for `from_optax`; and if `params` are needed and not given.
    """
    tx = as_transformation(tx, "to_optax")
    hints = check_meaning("to_optax", tx)
    ours = named("to_optax", tx.update.body, state)
    places, treedef = _placed(like)
    walk = Walk("to_optax", params)
    walk.lists(walk.nodes(ours), walk.nodes(places))
    filled = [place.value for place in jax.tree.leaves(places)]
    cast: dict[str, tuple[str, str]] = {}
    for match in walk.matches:
        filled[match.place.index] = _back(match, cast)
    for place in walk.flags:
        entry = walk.flags[place]
        filled[place.index] = jnp.asarray(entry.value == 0)
    report = Report(
        restored=tuple(match.entry.name for match in walk.matches),
        cast=cast,
        missing=tuple(walk.dropped),
        extra=tuple(entry.name for entry in walk.lacking),
        hints=tuple(hints),
    )
    check_differences("to_optax", "the state of Optax", report, missing, extra)
    del entries_of  # type: ignore[misc]
    return treedef.unflatten(filled), report
