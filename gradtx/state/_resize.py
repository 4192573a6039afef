"""A state carried over to parameters of other shapes."""

from typing import Any

import numpy as np

from .._core.first import transformation_first
from .._core.transformation import as_transformation
from ._beside import uncorrected
from ._names import Entry, Parameters, entries_of, is_key, named
from ._report import Report
from ._start import Fresh


@transformation_first
def resize(
    tx: Any, state: Any, old_params: Any, new_params: Any, *, like: Any = None
) -> tuple[Any, Report]:
    """Carry a state over to parameters that grew, came or went.

    By the path of the parameter:

    - Parameters of the same shape keep their state, wherever they stand now.
    - Where axes became longer, as for new neurons, the old array is kept at the start of each axis
      and the rest is as `tx.init(new_params)` has it. New neurons belong at the end, then.
    - All others start as `tx.init(new_params)` has them: new ones, those that shrank, and arrays
      whose axes are not those of the parameter (factored moments) where that grew.

    Counts and numbers of the whole tree stay, so what starts from 0 does so at a high count, and
    the report has a hint: see `reset`.

    Args:
        tx: The transformation.
        state: Its state for the old parameters.
        old_params: The old parameters, or their descriptions.
        new_params: The new ones.
        like: A state for the new parameters that the new one shall be like, where
            `tx.init(new_params)` is not, as for `restore`.

    Returns:
        The state for the new parameters, and a `Report`: `restored`, those of them that were
        `grown`, `missing` and `reshaped` for what starts anew, `extra` for what is gone.

    Raises:
        ValueError: If the state is not of this transformation and the old parameters.
    """
    tx = as_transformation(tx, "resize")
    fresh = Fresh("resize", tx, new_params, like)
    old = {e.name: e for e in entries_of(named("resize", tx.update.body, state))}
    carry = _Carry(Parameters(old_params), fresh.parameters)
    carry.check(old)
    values: dict[str, Any] = {}
    grown, reshaped, cast = {}, {}, {}
    for name, entry in fresh.entries.items():
        there = old.get(name)
        if there is None:
            continue
        shapes = (tuple(there.value.shape), tuple(entry.value.shape))
        if carry.stays(there, entry):
            values[name] = there.value
        elif carry.grows(there, entry):
            values[name] = grown[name] = shapes
        else:
            reshaped[name] = shapes
            continue
        if not is_key(entry.value) and there.value.dtype != entry.value.dtype:
            cast[name] = (str(there.value.dtype), str(entry.value.dtype))
    made = fresh.made(grown)
    for name in values:
        value = old[name].value
        if name in cast:
            value = value.astype(cast[name][1])
        if name in grown:
            block = tuple(slice(0, length) for length in grown[name][0])
            value = made[name].at[block].set(value)
        values[name] = value
    missing = [name for name in fresh.entries if name not in old]
    hints = uncorrected(fresh.entries, {*missing, *reshaped, *grown}, values)
    report = Report(
        restored=tuple(values),
        grown=grown,
        cast=cast,
        missing=tuple(missing),
        reshaped=reshaped,
        extra=tuple(name for name in old if name not in fresh.entries),
        hints=tuple(hints),
    )
    return fresh.with_values(values), report


class _Carry:
    """What of the arrays of parameters fits those of others."""

    def __init__(self, old: Parameters, new: Parameters):
        self.old, self.new = old, new
        self.unchanged = old.shapes == new.shapes

    def check(self, entries: dict[str, Entry]) -> None:
        """Raise if the state has an array for a parameter that the old ones have not."""
        for name, entry in entries.items():
            if entry.field is None or entry.field.kind != "param" or not entry.keys:
                continue
            found, shape = self.old.of(entry), tuple(entry.value.shape)
            if found is None:
                raise ValueError(
                    f"resize: the state has {name}, but `old_params` has no such parameter. "
                    f"{self._why(entries)}"
                )
            if shape != np.shape(found[1]):
                raise ValueError(
                    f"resize: {name} has shape {shape}, but {found[0]} has {np.shape(found[1])} in "
                    f"`old_params`. {self._why(entries)}"
                )

    def _why(self, entries: dict[str, Entry]) -> str:
        of_params = [e for e in entries.values() if e.field and e.field.kind == "param" and e.keys]
        found = [(entry, self.new.of(entry)) for entry in of_params]
        if all(p is not None and e.value.shape == np.shape(p[1]) for e, p in found):
            return "It is a state of `new_params`: are the two swapped?"
        return "Are they those that the state was made for?"

    def stays(self, there: Entry, here: Entry) -> bool:
        """Whether an array is good as it is."""
        if there.value.shape != here.value.shape:
            return False
        before, now = self.old.of(there), self.new.of(here)
        if before is None or now is None:
            # One of all parameters together, as in `flatten`, goes by their order and shapes.
            of_all = here.field is None or here.field.per_param
            return self.unchanged or not of_all or not np.ndim(here.value)
        return np.shape(before[1]) == np.shape(now[1]) or not np.ndim(here.value)

    def grows(self, there: Entry, here: Entry) -> bool:
        """Whether an array is the first block of the new one."""
        before, now = self.old.of(there), self.new.of(here)
        if before is None or now is None:
            return False
        old, new = there.value.shape, here.value.shape
        leading = int(here.field is not None and here.field.kind == "stack")
        aligned = here.field is not None and here.field.kind == "reduced"
        for shape, (_, p) in ((old, before), (new, now)):
            if len(shape) != np.ndim(p) + leading:
                return False
            if not aligned and tuple(shape[leading:]) != np.shape(p):
                return False
            if aligned and any(n not in (1, m) for n, m in zip(shape, np.shape(p), strict=True)):
                return False
        if len(old) != len(new):
            return False
        return old[:leading] == new[:leading] and all(a <= b for a, b in zip(old, new, strict=True))
