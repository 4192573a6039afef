"""Numbers that a state holds: where those that were saved are not those of the recipe."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from .._core.arguments import concrete_number
from .._core.body import Body
from .._core.leaves import is_abstract, is_traced
from .._core.remade import Remade
from .._hyperparams.held import HeldDecay, HeldSchedule
from .._hyperparams.numbers import Number
from ._names import Entry
from ._start import Fresh

_MOST = 8


def numbers_kept(fresh: Fresh, saved: Mapping[str, Any]) -> list[str]:
    """A sentence for each number that was saved and is another one in the recipe.

    Args:
        fresh: The state as it is without what was saved.
        saved: The saved arrays by their names there.
    """
    found = [
        hint
        for body, state in _remade(fresh.tx.update.body, fresh.tree)
        for hint in _differing(fresh, body, state, saved)
    ]
    more = len(found) - _MOST
    return [*found[:_MOST], f"So it is with {more} more numbers."] if more > 0 else found


def _remade(body: Body, state: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(body, Remade):
        yield body, state
    for inside in body.inner_states(state):
        yield from _remade(inside.body, inside.state)


def _differing(fresh: Fresh, body: Any, state: Any, saved: Mapping[str, Any]) -> Iterator[str]:
    for name, held in state.hyperparams.items():
        number, kept = body.numbers.get(name), held
        if isinstance(held, HeldSchedule):
            kept = held.value
        entry, pattern = kept, getattr(kept, "name", "")
        if isinstance(kept, HeldDecay):
            entry = kept.value
            pattern = f"{getattr(entry, 'name', '').removesuffix('/value')}/*"
        if not isinstance(entry, Entry) or (now := _known(saved.get(entry.name))) is None:
            continue
        if isinstance(held, HeldSchedule):
            is_set = _known(saved.get(getattr(held.overridden, "name", "")))
            if is_set is not None and np.any(is_set):
                yield (
                    f"{entry.name.rsplit('/value')[0]} is held at {_shown(now)} as saved, so that "
                    f"its schedule rests: release_hyperparams(tx, state, {name!r})."
                )
            continue
        recipe = _in_recipe(fresh, entry, number)
        if recipe is not None and not np.allclose(now, recipe, rtol=1e-6, atol=0):
            where = "the recipe" if fresh.like is None else "`like`"
            yield (
                f"{pattern.removesuffix('/*')} is {_shown(now)} as saved, {_shown(recipe)} in "
                f"{where}: skip={pattern!r} takes that."
            )


def _in_recipe(fresh: Fresh, entry: Entry, number: Any) -> Any:
    if fresh.like is not None:
        return _known(entry.value)
    return concrete_number(number.value if isinstance(number, Number) else number)


def _known(x: Any) -> Any:
    return None if x is None or is_abstract(x) or is_traced(x) else np.asarray(x)


def _shown(x: Any) -> str:
    values = np.unique(np.ravel(x))
    if len(values) == 0:
        return "nothing"
    low, high = values[0], values[-1]
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"
